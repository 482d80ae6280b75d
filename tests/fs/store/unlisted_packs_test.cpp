// SPDX-License-Identifier: GPL-3.0-or-later
// A store whose index is older than its packs, or that has none: it is only a cache, for readers too.
#include "fs/store/unlisted_packs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <condition_variable>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "config/base/stop_scope.h"
#include "config/base/units.h"
#include "fs/io/local_backend.h"
#include "fs/store/store_state.h"
#include "fs/store/verify/rebuild_index.h"
#include "fs/store/verify/verify.h"
#include "tests/fs/store/stored_disk.h"
#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class OlderIndex : public testing::Test {
 protected:
  // Two points, and the index as it was after the first: what a copy is that was made while a backup ran.
  OlderIndex() : image_(6 * kMiB), later_(9 * kMiB) {
    image_.fill_random(0, 6 * kMiB, 1);
    later_.fill_random(0, 9 * kMiB, 2);
    first_ = value_of(take_backup(*place_.open(), image_, "vm", test_time()));
    std::filesystem::copy(index(), kept_.path() / "index");
    second_ = value_of(take_backup(*place_.open(), later_, "vm", test_time(1)));
    std::filesystem::remove_all(index());
    std::filesystem::copy(kept_.path() / "index", index());
  }
  [[nodiscard]] std::filesystem::path index() const { return place_.path() / "index"; }
  void expect_both_read(Store& store) {
    EXPECT_EQ(read_disk(store, first_.disks[0].map), image_.content(0, image_.size()));
    EXPECT_EQ(read_disk(store, second_.disks[0].map), later_.content(0, later_.size()));
  }
  static ErrorCode code_of(Result<std::optional<Error>> trouble) {
    const auto error = value_of(std::move(trouble));
    return error ? error->code : ErrorCode::unknown_error_name;
  }
  TemporaryStore place_;
  TemporaryDirectory kept_;
  MemoryImage image_;
  MemoryImage later_;
  RecoveryPoint first_;
  RecoveryPoint second_;
};

TEST_F(OlderIndex, ChunksAreFoundInThePacksThatItDoesNotKnow) {
  const auto store = place_.open();
  EXPECT_FALSE(store->unlisted().met());
  expect_both_read(*store);
  ASSERT_TRUE(store->unlisted().met());
  EXPECT_EQ(store->unlisted().met()->code, ErrorCode::index_outdated);
}

TEST_F(OlderIndex, ItIsSaidWithHowManyPacks) {
  const auto store = place_.open();
  const auto trouble = value_of(index_trouble(*store));
  ASSERT_TRUE(trouble);
  EXPECT_EQ(trouble->code, ErrorCode::index_outdated);
  EXPECT_THAT(trouble->message(), HasSubstr("rebuild-index"));
  EXPECT_EQ(store->unlisted().known_index(), nullptr) << "no footers are read to say it";
  value_of(rebuild_index(*store));
  EXPECT_FALSE(value_of(index_trouble(*store)));
}

TEST_F(OlderIndex, NothingIsSaidWhileAWriterHasPacksToTellItOf) {
  const auto reader = place_.open();
  const int lock = ::open((place_.path() / "lock").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  EXPECT_FALSE(value_of(index_trouble(*reader)));
  ::close(lock);
  EXPECT_TRUE(value_of(index_trouble(*reader)));
}

TEST_F(OlderIndex, VerifyFindsNoDamage) {
  const auto store = place_.open();
  VerifyOptions options;
  options.data_percent = 100;
  const VerifyReport report = value_of(verify_store(*store, options));
  EXPECT_TRUE(report.damage.none()) << to_json(report).dump(2);
  EXPECT_THAT(report.unreadable, IsEmpty());
  ASSERT_TRUE(report.index);
  EXPECT_EQ(report.index->code, ErrorCode::index_outdated);
  EXPECT_TRUE(verdict_of(report, "store"));
}

TEST_F(OlderIndex, DamageInAPackThatItDoesNotKnowIsFoundAllTheSame) {
  std::set<std::string> before;
  {
    const auto old = value_of(Index::open(index(), place_.open()->state().document.id));
    for (const PackRow& row : value_of(old->packs())) before.insert(row.name);
  }
  for (const auto& pack : files_in(place_.path() / "packs"))
    if (!before.contains(pack.filename())) {
      flip_byte(pack, kPackHeaderBytes + 700);
      break;
    }
  const auto store = place_.open();
  VerifyOptions options;
  options.data_percent = 100;
  const VerifyReport report = value_of(verify_store(*store, options));
  ASSERT_EQ(report.damage.points.size(), 1U) << to_json(report).dump(2);
  EXPECT_EQ(report.damage.points[0].point, second_.name);
  EXPECT_EQ(verdict_of(report, "store").error().code, ErrorCode::damage_found);
}

// A collection put what was needed of a pack elsewhere, and removed it.
TEST_F(OlderIndex, AChunkThatHasMovedSinceIsFound) {
  const auto store = place_.open();
  StoreState& state = store->state();
  std::string old_pack;
  IndexedPack old_records;
  {
    const auto old = value_of(state.index.get());
    old_pack = value_of(old->packs()).front().name;
    old_records = value_of(read_footer(state, old_pack));
  }
  PackBuilder moved(state.keys, state.document.algorithm, state.document.id);
  {
    const auto reader = value_of(PackReader::open(*state.backend, old_pack, state.keys, state.document.id));
    for (const PackRecord& record : old_records.records) {
      const SharedBuffer bytes = value_of(reader->read_record(record.name, record.place));
      moved.add(record.name, record.place.kind, RecordEncoding::plain, record.place.raw_bytes, bytes->view());
    }
  }
  const FinishedPack pack = moved.finish();
  expect_ok(state.backend->put(pack.object(), ByteView(pack.bytes), IfExists::fail));
  expect_ok(state.backend->remove(pack_object(old_pack)));
  expect_both_read(*place_.open());
  const VerifyReport report = value_of(verify_store(*place_.open(), {}));
  EXPECT_TRUE(report.damage.none()) << to_json(report).dump(2);
}

TEST_F(OlderIndex, WithoutAnyAllIsRead) {
  std::filesystem::remove_all(index());
  const auto store = place_.open();
  EXPECT_EQ(code_of(index_trouble(*store)), ErrorCode::index_missing);
  expect_both_read(*store);
  EXPECT_EQ(store->unlisted().met()->code, ErrorCode::index_missing);
  const VerifyReport report = value_of(verify_store(*store, {}));
  EXPECT_TRUE(report.damage.none()) << to_json(report).dump(2);
  EXPECT_EQ(report.points, 2U);
  EXPECT_GT(report.chunks, 0U) << "the maps are walked";
  EXPECT_FALSE(std::filesystem::exists(index())) << "whoever reads changes nothing";
}

// The index that was compared with is closed by then: "none" is another than that, though neither is there.
TEST_F(OlderIndex, AReaderWhoseIndexHasGoneFindsAllInThePacks) {
  const auto store = place_.open();
  expect_both_read(*store);
  EXPECT_EQ(code_of(store->unlisted().trouble()), ErrorCode::index_outdated);
  std::filesystem::remove_all(index());
  store->state().index.forget();
  expect_both_read(*store);
  EXPECT_EQ(code_of(store->unlisted().trouble()), ErrorCode::index_missing);
  const auto all = value_of(store->unlisted().index_of_all());
  EXPECT_EQ(value_of(all->packs()).size(), files_in(place_.path() / "packs").size());
}

TEST_F(OlderIndex, GarbageIsNoDamageOfPoints) {
  std::ofstream(index() / "data.mdb", std::ios::binary) << std::string(20000, 'x');
  const auto store = place_.open();
  expect_both_read(*store);
  EXPECT_EQ(code_of(index_trouble(*store)), ErrorCode::index_damaged);
  EXPECT_TRUE(value_of(verify_store(*store, {})).damage.none());
}

TEST_F(OlderIndex, APackThatIsGoneIsStillMissed) {
  std::filesystem::remove_all(index());
  std::filesystem::remove_all(place_.path() / "packs");
  const auto store = place_.open();
  const auto reader = store->open_disk(first_.disks[0].map, "test");
  Buffer bytes(10);
  EXPECT_EQ(reader->read(0, bytes).error().code, ErrorCode::chunk_missing);
}

TEST_F(OlderIndex, NothingIsLeftInTheFolderOfThePrivateOne) {
  std::filesystem::remove_all(index());
  const auto store = place_.open();
  store->unlisted().keep_in(kept_.path());
  std::filesystem::remove_all(kept_.path() / "index");
  expect_both_read(*store);
  EXPECT_TRUE(std::filesystem::is_empty(kept_.path()));
}

TEST_F(OlderIndex, APackThatComesWhileAReaderHasTheStoreOpenIsFound) {
  std::filesystem::remove_all(index());
  const auto packs = files_in(place_.path() / "packs");
  std::vector<std::filesystem::path> away;
  for (const auto& pack : packs) std::filesystem::rename(pack, away.emplace_back(kept_.path() / pack.filename()));
  const auto store = place_.open();
  Buffer bytes(10);
  EXPECT_FALSE(store->open_disk(first_.disks[0].map, "test")->read(0, bytes));
  for (std::size_t i = 0; i < packs.size(); ++i) std::filesystem::rename(away[i], packs[i]);
  expect_both_read(*store);
}

// --- a copy that is refreshed while it is open
class RefreshedCopy : public OlderIndex {
 protected:
  RefreshedCopy() {
    std::filesystem::remove_all(index());
    store_ = place_.open();
  }
  // What a pack has, in another one of another name: as a collection leaves it.
  void copy_records(const std::string& from) {
    StoreState& state = store_->state();
    PackBuilder moved(state.keys, state.document.algorithm, state.document.id);
    const auto reader = value_of(PackReader::open(*state.backend, from, state.keys, state.document.id));
    for (const PackRecord& record : value_of(reader->read_footer())) {
      const SharedBuffer bytes = value_of(reader->read_record(record.name, record.place));
      moved.add(record.name, record.place.kind, RecordEncoding::plain, record.place.raw_bytes, bytes->view());
    }
    const FinishedPack pack = moved.finish();
    expect_ok(state.backend->put(pack.object(), ByteView(pack.bytes), IfExists::fail));
  }
  void remove(const std::string& pack) {
    expect_ok(store_->state().backend->remove(pack_object(pack)));
    store_->chunks().let_go_of_removed_packs();
  }
  std::vector<std::string> known() {
    std::vector<std::string> names;
    for (const PackRow& row : value_of(store_->unlisted().known_index()->packs())) names.push_back(row.name);
    return names;
  }
  std::unique_ptr<Store> store_;
};

TEST_F(RefreshedCopy, PacksThatAreGoneAreForgottenAndTheNewOnesRead) {
  expect_both_read(*store_);
  for (const std::string& pack : known()) {
    copy_records(pack);
    remove(pack);
    expect_both_read(*store_);
    EXPECT_THAT(known(), testing::Not(testing::Contains(pack)));
  }
}

TEST_F(RefreshedCopy, WhatTwoPacksHadIsFoundInTheOtherOne) {
  std::vector<std::string> before;
  for (const auto& pack : files_in(place_.path() / "packs")) before.push_back(pack.filename().string());
  for (const std::string& pack : before) copy_records(pack);
  expect_both_read(*store_);
  for (const std::string& pack : before) {
    remove(pack);
    expect_both_read(*store_);
  }
}

TEST_F(RefreshedCopy, APrivateIndexThatBecomesUnreadableIsMadeAnew) {
  expect_both_read(*store_);
  const auto broken = store_->unlisted().known_index();
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string path = std::filesystem::read_symlink(entry.path(), gone).string();
    if (path.find("cairn-index-") == std::string::npos || !path.ends_with("data.mdb (deleted)")) continue;
    ASSERT_EQ(::truncate(entry.path().c_str(), 0), 0);
  }
  expect_both_read(*store_);
  EXPECT_TRUE(broken->damaged());
  EXPECT_NE(store_->unlisted().known_index(), broken);
}

TEST_F(RefreshedCopy, ReadingFootersEndsWhenTheThreadIsAskedToStop) {
  std::stop_source stop;
  stop.request_stop();
  {
    const StopScope scope(stop.get_token());
    Buffer bytes(10);
    EXPECT_EQ(store_->open_disk(first_.disks[0].map, "test")->read(0, bytes).error().code, ErrorCode::cancelled);
  }
  expect_both_read(*store_);
}

// Opens packs only when it is let.
class WaitingPacks final : public Backend {
 public:
  explicit WaitingPacks(const std::filesystem::path& directory) : inner_(directory) {}
  void wait_until_asked() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return asked_; });
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  [[nodiscard]] std::string location() const override { return inner_.location(); }
  using Backend::put;
  Result<void> put(std::string_view name, std::span<const ByteView> parts, IfExists if_exists) override {
    return inner_.put(name, parts, if_exists);
  }
  Result<std::unique_ptr<ObjectReader>> open(std::string_view name) override {
    std::unique_lock lock(mutex_);
    asked_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
    return inner_.open(name);
  }
  Result<std::vector<std::string>> list(std::string_view prefix) override { return inner_.list(prefix); }
  Result<void> remove(std::string_view name) override { return inner_.remove(name); }
  Result<bool> remove_unless_held(std::string_view name) override { return inner_.remove_unless_held(name); }
  Result<std::optional<std::uint64_t>> change_token(std::string_view prefix) override {
    return inner_.change_token(prefix);
  }
  Result<void> remove_leftovers() override { return inner_.remove_leftovers(); }

 private:
  LocalBackend inner_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool asked_ = false;
  bool open_ = false;
};

TEST_F(RefreshedCopy, WhoeverAsksForTheTroubleDoesNotWaitForFooters) {
  StoreState& state = store_->state();
  WaitingPacks backend(place_.path());
  UnlistedPacks unlisted(state.index, backend, state.keys, state.document.id, "test");
  std::jthread reader([&] { EXPECT_FALSE(value_of(unlisted.locate(ChunkName{{1}}))); });
  backend.wait_until_asked();
  const auto trouble = value_of(unlisted.trouble_now());
  ASSERT_TRUE(trouble);
  EXPECT_EQ(trouble->code, ErrorCode::index_missing);
  EXPECT_THAT(trouble->message(), HasSubstr("unknown"));
  // And who is asked to stop does not wait either.
  std::stop_source stop;
  stop.request_stop();
  {
    const StopScope scope(stop.get_token());
    EXPECT_EQ(unlisted.locate(ChunkName{{1}}).error().code, ErrorCode::cancelled);
  }
  backend.let_go();
  reader.join();
  EXPECT_THAT(value_of(unlisted.trouble_now())->message(), testing::Not(HasSubstr("unknown")));
}

}  // namespace
}  // namespace cairn
