// SPDX-License-Identifier: GPL-3.0-or-later
// Garbage collection: what no point needs goes, what any point needs stays, whoever writes or reads meanwhile and
// wherever the power is cut.
#include "fs/store/collect/garbage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "config/base/log.h"
#include "config/base/units.h"
#include "fs/io/local_backend.h"
#include "fs/store/store.h"
#include "fs/store/verify/rebuild_index.h"
#include "fs/store/write/ingest.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"
#include "tests/fs/store/stored_disk.h"
#include "tests/support/memory_backend.h"
#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

constexpr std::uint64_t kDisk = 8 * kMiB;

MemoryImage random_image(unsigned seed, std::uint64_t size = kDisk) {
  MemoryImage image(size);
  image.fill_random(0, static_cast<std::size_t>(size), seed);
  return image;
}

std::uint64_t pack_bytes(const std::filesystem::path& store) {
  std::uint64_t bytes = 0;
  for (const auto& file : files_in(store / "packs")) bytes += std::filesystem::file_size(file);
  return bytes;
}

class Collecting : public testing::Test {
 protected:
  PointName take(MemoryImage& image, const std::string& machine, int seconds) {
    return value_of(take_backup(*store_, image, machine, test_time(seconds))).name;
  }
  void remove(const PointName& point) { expect_ok(remove_point(*value_of(begin_writing(*store_, "test")), point)); }
  Result<CollectReport> collect(const CollectOptions& options = {}) {
    return collect_garbage(*value_of(begin_writing(*store_, "collection")), options);
  }

  TemporaryStore place_;
  std::unique_ptr<Store> store_ = place_.open();
};

TEST_F(Collecting, RemovesNothingThatIsNeeded) {
  MemoryImage one = random_image(1);
  MemoryImage two = random_image(2);
  const PointName first = take(one, "one", 0);
  const PointName second = take(two, "two", 1);
  const std::uint64_t before = pack_bytes(place_.path());
  const CollectReport report = value_of(collect());
  EXPECT_EQ(report.removed_packs, 0U);
  EXPECT_EQ(report.freed_bytes, 0U);
  EXPECT_EQ(report.points, 2U);
  EXPECT_EQ(report.needed_chunks, 2 * (kDisk / kMinChunkSize + 1));  // and one node each
  EXPECT_EQ(pack_bytes(place_.path()), before);
  expect_same(*store_, first, one);
  expect_same(*store_, second, two);
}

TEST_F(Collecting, GivesBackWhatARemovedPointAloneNeeded) {
  MemoryImage one = random_image(1);
  MemoryImage two = random_image(2);
  const PointName first = take(one, "one", 0);
  const std::uint64_t alone = pack_bytes(place_.path());
  const PointName second = take(two, "two", 1);
  remove(second);
  CollectOptions only_count;
  only_count.dry_run = true;
  const CollectReport expected = value_of(collect(only_count));
  EXPECT_GT(pack_bytes(place_.path()), alone);
  const CollectReport report = value_of(collect());
  EXPECT_EQ(report.freed_bytes, expected.freed_bytes);
  EXPECT_EQ(report.removed_packs, expected.removed_packs);
  EXPECT_GT(report.freed_bytes, kDisk);
  EXPECT_EQ(pack_bytes(place_.path()), alone);
  expect_same(*store_, first, one);
  // The index has forgotten them: what it says is what a new one would say.
  const std::uint64_t records = value_of(count_usage(*store_)).chunks;
  value_of(rebuild_index(*store_));
  EXPECT_EQ(value_of(count_usage(*store_)).chunks, records);
  EXPECT_EQ(value_of(collect()).removed_packs, 0U);
}

TEST_F(Collecting, RewritesAPackOfWhichLittleIsNeeded) {
  MemoryImage whole = random_image(1);
  MemoryImage part(kDisk);
  part.write(0, whole.content(0, kMiB));
  const PointName all = take(whole, "all", 0);
  const PointName little = take(part, "little", 1);  // shares its first MiB
  remove(all);
  const CollectReport report = value_of(collect());
  EXPECT_GE(report.rewritten_packs, 1U);
  EXPECT_EQ(report.written_bytes > kMiB && report.written_bytes < 2 * kMiB, true) << report.written_bytes;
  EXPECT_LT(pack_bytes(place_.path()), 3 * kMiB);
  expect_same(*store_, little, part);
  EXPECT_EQ(value_of(collect()).removed_packs, 0U);  // it is done
  value_of(rebuild_index(*store_));
  expect_same(*store_, little, part);
}

TEST_F(Collecting, LeavesWhatABackupThatRunsHasStored) {
  MemoryImage image = random_image(1);
  const auto writer = value_of(begin_writing(*store_, "backup"));
  const IngestReport stored = value_of(ingest_disk(*writer, image, {}));
  expect_ok(writer->flush());  // in packs, in the index, in no point
  const CollectReport report = value_of(collect());
  EXPECT_EQ(report.removed_packs + report.waiting_packs, 0U);
  RecoveryPoint point;
  point.name = {"vm", test_time()};
  point.disks.push_back({"root", stored.map, {}, {}});
  expect_ok(writer->commit(point));
  expect_same(*store_, point.name, image);
}

// The backup finds the chunks of a removed point in the index, counts on them, and commits after the collection.
TEST_F(Collecting, LeavesWhatABackupThatRunsCountsOn) {
  MemoryImage image = random_image(1);
  remove(take(image, "gone", 0));
  auto writer = value_of(begin_writing(*store_, "backup"));
  const IngestReport stored = value_of(ingest_disk(*writer, image, {}));
  EXPECT_EQ(stored.new_bytes, 0U);
  const CollectReport first = value_of(collect());
  EXPECT_EQ(first.removed_packs, 0U);
  EXPECT_GT(first.waiting_packs, 0U);
  // While it still runs, and after it has ended.
  EXPECT_EQ(value_of(collect()).removed_packs, 0U);
  RecoveryPoint point;
  point.name = {"vm", test_time(1)};
  point.disks.push_back({"root", stored.map, {}, {}});
  expect_ok(writer->commit(point));
  expect_same(*store_, point.name, image);
  writer.reset();
  value_of(collect());
  expect_same(*store_, point.name, image);
  value_of(collect());
  expect_same(*store_, point.name, image);
  value_of(rebuild_index(*store_));
  expect_same(*store_, point.name, image);
}

TEST_F(Collecting, ABackupThatBeginsLaterDoesNotCountOnWhatWaits) {
  MemoryImage image = random_image(1);
  remove(take(image, "gone", 0));
  auto old_writer = value_of(begin_writing(*store_, "a long backup"));
  EXPECT_GT(value_of(collect()).waiting_packs, 0U);
  const PointName later = take(image, "vm", 1);
  expect_same(*store_, later, image);
  old_writer.reset();
  EXPECT_GT(value_of(collect()).removed_packs, 0U);
  expect_same(*store_, later, image);
}

TEST_F(Collecting, AfterARestartNobodyIsWaitedFor) {
  MemoryImage image = random_image(1);
  MemoryImage other = random_image(2);
  const PointName kept = take(other, "kept", 0);
  remove(take(image, "gone", 0));
  {
    const auto writer = value_of(begin_writing(*store_, "a backup that dies"));
    EXPECT_GT(value_of(collect()).waiting_packs, 0U);
  }
  store_ = place_.open();
  const CollectReport report = value_of(collect());
  EXPECT_GT(report.removed_packs, 0U);
  EXPECT_EQ(report.waiting_packs, 0U);
  expect_same(*store_, kept, other);
}

TEST_F(Collecting, StopsWhereDamageHidesWhatIsNeeded) {
  MemoryImage one = random_image(1);
  MemoryImage two = random_image(2);
  const PointName good = take(one, "good", 0);
  const PointName bad = take(two, "bad", 1);
  const std::filesystem::path file = place_.path() / "points" / bad.text();
  flip_byte(file, 100);
  const std::uint64_t before = pack_bytes(place_.path());
  std::string log;
  redirect_log(&log);
  const auto blocked = collect();
  ASSERT_FALSE(blocked);
  EXPECT_EQ(blocked.error().code, ErrorCode::collection_blocked);
  EXPECT_THAT(blocked.error().message(), testing::HasSubstr(bad.text()));
  EXPECT_EQ(pack_bytes(place_.path()), before);
  CollectOptions accepting;
  accepting.accept_damage = true;
  EXPECT_GT(value_of(collect(accepting)).removed_packs, 0U);
  redirect_log(nullptr);
  expect_same(*store_, good, one);
}

TEST_F(Collecting, StopsWhenANodeIsNotThere) {
  MemoryImage one = random_image(1);
  const PointName point = take(one, "vm", 0);
  for (const auto& file : files_in(place_.path() / "packs")) std::filesystem::remove(file);
  std::string log;
  redirect_log(&log);
  const auto blocked = collect();
  redirect_log(nullptr);
  ASSERT_FALSE(blocked);
  EXPECT_EQ(blocked.error().code, ErrorCode::collection_blocked);
  EXPECT_THAT(blocked.error().message(), testing::HasSubstr(point.text()));
}

TEST_F(Collecting, ReadersGoOnThroughRewriting) {
  MemoryImage part = random_image(1);
  const PointName kept = take(part, "kept", 0);
  std::atomic<bool> stop = false;
  std::atomic<unsigned> wrong = 0;
  std::atomic<unsigned> reads = 0;
  std::vector<std::jthread> readers;
  const auto other_process = place_.open();  // has packs of its own open
  for (Store* store : {store_.get(), other_process.get()})
    readers.emplace_back([&, store] {
      const RecoveryPoint point = value_of(store->points().load(kept));
      while (!stop) {
        Buffer bytes(part.size());
        const auto got = store->open_disk(point.disks.at(0).map, "kept")->read(0, bytes);
        if (!got || bytes != part.content(0, part.size())) ++wrong;
        ++reads;
        reads.notify_all();
      }
    });
  CollectOptions always;
  always.rewrite_below = 1;  // every pack, though all of it is needed
  for (int round = 1; round <= 12; ++round) {
    EXPECT_GT(value_of(collect(always)).rewritten_packs, 0U);
    const unsigned seen = reads;
    reads.wait(seen);  // at least one more reading begins
  }
  stop = true;
  readers.clear();
  EXPECT_EQ(wrong, 0U);
  EXPECT_GT(reads, 12U);
}

TEST_F(Collecting, ItsMarksAreSmall) {
  MemoryImage image = random_image(1);
  take(image, "vm", 0);
  // 129 records in one pack: bits, and what is kept of each pack.
  EXPECT_LT(value_of(collect()).memory_bytes, 4096U);
}

TEST_F(Collecting, IsCancelled) {
  MemoryImage image = random_image(1);
  take(image, "vm", 0);
  std::stop_source stop;
  stop.request_stop();
  CollectOptions options;
  options.stop = stop.get_token();
  EXPECT_EQ(collect(options).error().code, ErrorCode::cancelled);
}

class CollectionCrash : public testing::TestWithParam<CutAt> {};

// The power is cut at each call of the backend in turn.
TEST_P(CollectionCrash, EveryCutLeavesWhatIsNeeded) {
  std::string log;
  redirect_log(&log);
  MemoryImage kept_image = random_image(1);
  MemoryImage part(kDisk);
  part.write(0, random_image(2).content(0, kMiB));
  bool finished = false;
  std::uint64_t cut = 0;
  for (; !finished; ++cut) {
    SCOPED_TRACE(cut);
    ASSERT_LT(cut, 1000U);
    const TemporaryStore place;
    PointName kept;
    PointName little;
    {
      const auto store = place.open();
      MemoryImage whole = random_image(2);
      kept = value_of(take_backup(*store, kept_image, "kept", test_time(0))).name;
      const PointName all = value_of(take_backup(*store, whole, "all", test_time(1))).name;
      little = value_of(take_backup(*store, part, "little", test_time(2))).name;
      expect_ok(remove_point(*value_of(begin_writing(*store, "test")), all));
    }
    {
      const auto backend =
          std::make_shared<FaultyBackend>(std::make_shared<LocalBackend>(place.path()), cut, GetParam());
      const auto store = Store::open(place.path(), backend, TemporaryStore::key());
      if (store) {
        const auto writer = begin_writing(**store, "collection");
        if (writer) static_cast<void>(collect_garbage(**writer, {}).has_value());
      }
      finished = backend->calls() <= cut;
    }
    const auto store = place.open();
    expect_same(*store, kept, kept_image);
    expect_same(*store, little, part);
    const CollectReport again = value_of(collect_garbage(*value_of(begin_writing(*store, "collection")), {}));
    EXPECT_EQ(again.waiting_packs, 0U);
    EXPECT_LT(pack_bytes(place.path()), kDisk + 3 * kMiB);
    expect_same(*store, kept, kept_image);
    expect_same(*store, little, part);
    value_of(rebuild_index(*store));
    expect_same(*store, little, part);
    if (testing::Test::HasFailure()) break;
  }
  redirect_log(nullptr);
  EXPECT_GT(cut, 8U);
}

INSTANTIATE_TEST_SUITE_P(Cuts, CollectionCrash, testing::Values(CutAt::before_effect, CutAt::after_effect),
                         [](const auto& test) { return test.param == CutAt::before_effect ? "Before" : "After"; });

}  // namespace
}  // namespace cairn
