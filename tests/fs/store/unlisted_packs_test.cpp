// SPDX-License-Identifier: GPL-3.0-or-later
// A store whose index is older than its packs, or that has none: it is only a cache, for readers too.
#include "fs/store/unlisted_packs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "config/base/units.h"
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

}  // namespace
}  // namespace cairn
