// SPDX-License-Identifier: GPL-3.0-or-later
// Salvaging: what can be read of a damaged disk is written, the rest is zeros and reported to the byte.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "config/base/units.h"
#include "daemon/queue/job.h"
#include "daemon/restore/restore.h"
#include "fs/store/write/ingest.h"
#include "fs/store/write/store_writer.h"
#include "tests/fs/store/verify/damaged_store.h"
#include "tests/support/sandbox.h"

namespace cairn {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
namespace fs = std::filesystem;

constexpr std::uint64_t kChunk = kMinChunkSize;
constexpr std::uint64_t kLeaf = kNodeNames * kChunk;

class SalvageTest : public ::testing::Test {
 protected:
  SalvageTest() : store_(place_.open()) { fs::create_directory(out()); }

  [[nodiscard]] fs::path out() const { return place_.path().parent_path() / "out"; }
  void back_up(MemoryImage& image) { point_ = value_of(take_backup(*store_, image, "vm", test_time())); }
  void flip_chunk(std::uint64_t chunk) {
    const PackRecord record = record_of_chunk(*store_, point_, chunk);
    flip_byte(pack_holding(*store_, record.name), record.place.offset + 20);
  }
  void flip_node(unsigned level, std::uint64_t index) {
    const PackRecord record = record_of_node(*store_, point_, level, index);
    flip_byte(pack_holding(*store_, record.name), record.place.offset + 20);
  }
  // By a store that has nothing of it in memory.
  Result<json> restore(JobContext& job, bool salvage = true) {
    const auto store = place_.open();
    return run_restore(*store, task(salvage), job);
  }
  [[nodiscard]] std::unique_ptr<Store> open_through(const std::shared_ptr<FailingReads>& reads) const {
    return value_of(Store::open(place_.path(), reads, TemporaryStore::key()));
  }
  // Restoring ends with that error, and leaves nothing behind.
  void expect_fails(Store& store, JobContext& job, ErrorCode code) {
    const auto failed = run_restore(store, task(), job);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, code) << failed.error().message();
    EXPECT_TRUE(fs::is_empty(out()));
  }
  [[nodiscard]] RestoreTask task(bool salvage = true) const {
    RestoreTask task;
    task.point = point_.name;
    task.to = out();
    task.flags.salvage = salvage;
    return task;
  }
  // The file is the image, and zeros in `lost`.
  void expect_salvaged(const MemoryImage& image, const std::vector<ByteRange>& lost) const {
    Buffer expected = image.content(0, image.size());
    for (const ByteRange& range : lost)
      std::ranges::fill(MutableBytes(expected).subspan(range.offset, range.size), std::uint8_t{0});
    EXPECT_TRUE(cairn::testing::same_bytes(cairn::testing::read_all(out() / "root.img"), expected));
  }
  static std::vector<ByteRange> ranges_of(const json& result) {
    std::vector<ByteRange> ranges;
    for (const json& range : result["files"][0]["damaged"]["ranges"]) ranges.push_back({range.at(0), range.at(1)});
    return ranges;
  }

  TemporaryStore place_;
  std::unique_ptr<Store> store_;
  RecoveryPoint point_;
};

TEST_F(SalvageTest, AWholeDiskIsTheSameWithItAndSaysSo) {
  MemoryImage image(24 * kMiB + 777);
  image.fill_random(0, 3 * kMiB, 1);
  image.fill_random(24 * kMiB, 777, 2);
  back_up(image);
  JobContext plain_job;
  json plain = value_of(restore(plain_job, false));
  fs::remove(out() / "root.img");
  JobContext job;
  json result = value_of(restore(job));
  expect_salvaged(image, {});
  EXPECT_THAT(job.view().warnings, IsEmpty());
  ASSERT_TRUE(result["files"][0].contains("damaged"));
  EXPECT_TRUE(result["files"][0]["damaged"].is_null());
  plain.erase("duration_ms");
  result.erase("duration_ms");
  EXPECT_EQ(result, plain);
}

TEST_F(SalvageTest, DamagedChunksAreZerosAndNeighboursOneRange) {
  MemoryImage image(40 * kMiB + 777);
  image.fill_random(0, 20 * kMiB, 1);
  image.fill_random(40 * kMiB, 777, 2);
  back_up(image);
  // 15 and 16 lie in two pieces that threads claim by themselves; the last chunk is 777 bytes.
  const std::uint64_t last = 40 * kMiB / kChunk;
  for (const std::uint64_t chunk : {std::uint64_t{3}, std::uint64_t{15}, std::uint64_t{16}, last}) flip_chunk(chunk);
  JobContext job;
  const json result = value_of(restore(job));
  const std::vector<ByteRange> lost = {{3 * kChunk, kChunk}, {15 * kChunk, 2 * kChunk}, {40 * kMiB, 777}};
  EXPECT_EQ(ranges_of(result), lost);
  EXPECT_EQ(result["files"][0]["damaged"]["bytes"], 3 * kChunk + 777);
  EXPECT_EQ(result["files"][0]["data_bytes"], 20 * kMiB - 3 * kChunk) << "what was written";
  expect_salvaged(image, lost);
  ASSERT_THAT(job.view().warnings, SizeIs(1));
  EXPECT_THAT(job.view().warnings[0], HasSubstr("root is not whole: 193 KiB of 40.0 MiB cannot be read"));
  EXPECT_EQ(job.view().done_bytes, job.view().total_bytes);
}

TEST_F(SalvageTest, ADamagedLeafOfTheMapCostsWhatItCovers) {
  MemoryImage image(4 * kLeaf + 3 * kChunk);
  for (unsigned leaf = 0; leaf < 4; ++leaf) image.fill_random(leaf * kLeaf + 5 * kMiB, 2 * kMiB, leaf + 1);
  image.fill_random(4 * kLeaf + kChunk, kChunk, 9);
  back_up(image);
  flip_node(0, 1);
  flip_node(0, 2);
  flip_node(0, 4);
  flip_chunk(5 * kMiB / kChunk);
  JobContext job;
  const json result = value_of(restore(job));
  const std::vector<ByteRange> lost = {{5 * kMiB, kChunk}, {kLeaf, 2 * kLeaf}, {4 * kLeaf, 3 * kChunk}};
  EXPECT_EQ(ranges_of(result), lost);
  expect_salvaged(image, lost);
  EXPECT_EQ(job.view().done_bytes, job.view().total_bytes);
}

TEST_F(SalvageTest, ADamagedUpperNodeCostsAllBelowItAndTheRestGoesOn) {
  MemoryImage image(2 * kNodeNames * kLeaf + 10 * kMiB);  // two nodes of 64 GiB and a piece of one
  image.fill_random(kMiB, kMiB, 1);
  image.fill_random(kNodeNames * kLeaf + kMiB, kMiB, 2);
  image.fill_random(2 * kNodeNames * kLeaf, 10 * kMiB, 3);
  back_up(image);
  flip_node(1, 1);
  JobContext job;
  const auto restored = restore(job);
  if (!restored && restored.error().sys_errno == EFBIG) GTEST_SKIP() << "the file system has no files of 128 GiB";
  const json result = value_of(restored);
  EXPECT_EQ(ranges_of(result), (std::vector<ByteRange>{{kNodeNames * kLeaf, kNodeNames * kLeaf}}));
  EXPECT_EQ(result["files"][0]["data_bytes"], 11 * kMiB);
  std::ifstream file(out() / "root.img", std::ios::binary);
  for (const std::uint64_t offset : {kMiB, kNodeNames * kLeaf + kMiB, 2 * kNodeNames * kLeaf}) {
    Buffer bytes(kMiB);
    file.seekg(static_cast<std::streamoff>(offset));
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    ASSERT_TRUE(file);
    EXPECT_EQ(bytes, offset == kNodeNames * kLeaf + kMiB ? Buffer(kMiB) : image.content(offset, kMiB)) << offset;
  }
}

TEST_F(SalvageTest, APackThatIsGoneIsZerosWhereItsChunksWere) {
  MemoryImage image(20 * kMiB);
  image.fill_random(0, 20 * kMiB, 1);
  back_up(image);
  image.fill_random(7 * kMiB, 300'000, 2);
  point_ = value_of(take_backup(*store_, image, "vm", test_time(60)));
  fs::remove(pack_of_chunk(*store_, point_, 0));
  const auto store = place_.open();
  const auto missing = readable_ranges_missing(*store, point_, image);
  ASSERT_THAT(missing, Not(IsEmpty()));
  JobContext job;
  const json result = value_of(restore(job));
  EXPECT_EQ(ranges_of(result), missing);
  expect_salvaged(image, missing);
}

TEST_F(SalvageTest, ADiskWithoutItsRootIsNotMade) {
  MemoryImage image(2 * kLeaf);
  image.fill_random(0, 2 * kMiB, 1);
  back_up(image);
  flip_node(1, 0);
  JobContext job;
  const auto refused = restore(job);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::chunk_damaged);
  EXPECT_THAT(refused.error().message(), HasSubstr("root: nothing of it can be read"));
  EXPECT_TRUE(fs::is_empty(out()));
}

TEST_F(SalvageTest, NorOneWithoutAnyOfItsChunks) {
  MemoryImage image(2 * kMiB);
  image.fill_random(kMiB, 2 * kChunk, 1);
  back_up(image);
  flip_chunk(kMiB / kChunk);
  flip_chunk(kMiB / kChunk + 1);
  JobContext job;
  const auto refused = restore(job);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("nothing of it can be read"));
  EXPECT_TRUE(fs::is_empty(out()));
}

TEST_F(SalvageTest, ALostDiskDoesNotKeepTheOthersBack) {
  MemoryImage image(2 * kMiB);
  image.fill_random(0, kMiB, 1);
  MemoryImage other(kMiB);
  other.fill_random(0, kChunk, 2);
  {
    const auto writer = value_of(begin_writing(*store_, "test"));
    point_.name = {"vm", test_time()};
    point_.disks.push_back({"data", value_of(ingest_disk(*writer, other, {})).map, {}, {}});
    point_.disks.push_back({"root", value_of(ingest_disk(*writer, image, {})).map, {}, {}});
    expect_ok(writer->commit(point_));
  }
  flip_chunk(0);  // of the first disk
  JobContext job;
  const auto failed = restore(job);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message(), HasSubstr("vm@20261121T000000Z/data: nothing of it"));
  expect_salvaged(image, {});
  EXPECT_FALSE(fs::exists(out() / "data.img"));
  const json kept = json::parse(job.kept_result());
  ASSERT_THAT(kept["files"], SizeIs(1));
  EXPECT_EQ(kept["files"][0]["disk"], "root");
  EXPECT_TRUE(kept["files"][0]["damaged"].is_null());
}

TEST_F(SalvageTest, WhatCannotBeReadForTheMomentIsNoDamage) {
  MemoryImage image(20 * kMiB);
  image.fill_random(0, 20 * kMiB, 1);
  back_up(image);
  const auto reads = std::make_shared<FailingReads>(place_.path(), ErrorCode::io_error);
  const auto store = open_through(reads);
  reads->start();
  JobContext job;
  expect_fails(*store, job, ErrorCode::io_error);
  reads->stop();
  value_of(run_restore(*store, task(), job));
  expect_salvaged(image, {});
}

TEST_F(SalvageTest, DamageDoesNotHideWhatCannotBeReadForTheMoment) {
  MemoryImage image(4 * kMiB);
  image.fill_random(0, 4 * kMiB, 1);
  back_up(image);
  const std::string before = located(*store_, chunk_name_of(*store_, point_, 7)).pack_name;
  image.fill_random(8 * kChunk, kChunk, 2);
  point_ = value_of(take_backup(*store_, image, "vm", test_time(60)));
  const std::string later = located(*store_, chunk_name_of(*store_, point_, 8)).pack_name;
  ASSERT_NE(before, later);
  ASSERT_NE(located(*store_, point_.disks[0].map.root).pack_name, before) << "the map itself is readable";
  flip_chunk(8);  // a neighbour of what is not readable: the same piece of a thread
  const auto reads = std::make_shared<FailingReads>(place_.path(), ErrorCode::io_error, pack_object(before));
  const auto store = open_through(reads);
  reads->start();
  JobContext job;
  expect_fails(*store, job, ErrorCode::io_error);
}

TEST_F(SalvageTest, AStoreThatGoesAwayMeanwhileIsNoDamage) {
  MemoryImage image(4 * kMiB);
  image.fill_random(0, 4 * kMiB, 1);
  back_up(image);
  flip_chunk(7);
  const auto gone = std::make_shared<FailingReads>(place_.path(), ErrorCode::object_missing, "points/");
  const auto store = open_through(gone);
  std::atomic<int> changes = 0;
  JobContext job({}, [&] {
    if (++changes > 1) gone->start();  // the first says which point it is
  });
  expect_fails(*store, job, ErrorCode::point_missing);
}

TEST_F(SalvageTest, WithoutItDamageEndsTheRestoreAndNamesIt) {
  MemoryImage image(20 * kMiB);
  image.fill_random(0, 20 * kMiB, 1);
  back_up(image);
  flip_chunk(7);
  JobContext job;
  const auto failed = restore(job, false);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::chunk_damaged);
  EXPECT_THAT(failed.error().message(), HasSubstr("\"cairn verify --repair\"; or restore with --salvage"));
  EXPECT_TRUE(fs::is_empty(out()));
}

}  // namespace
}  // namespace cairn
