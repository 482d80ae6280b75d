// SPDX-License-Identifier: GPL-3.0-or-later
// The extent diff and the tracker that feeds it, on made-up extents.
#include "fs/image/change/extent_diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fiemap.h>

#include <random>

#include "config/base/units.h"
#include "fs/image/change/change_tracker.h"
#include "tests/support/sandbox.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Extents = std::vector<MappedExtent>;

constexpr std::uint64_t k4K = 4096;

// In blocks of 4 KiB.
MappedExtent extent(std::uint64_t logical, std::uint64_t physical, std::uint64_t length, std::uint32_t flags = 0) {
  return {logical * k4K, physical * k4K, length * k4K, flags};
}
ByteRange blocks(std::uint64_t offset, std::uint64_t count) {
  return {offset * k4K, count * k4K};
}
std::vector<ByteRange> same(const Extents& before, const Extents& now, std::uint64_t count) {
  return unchanged_ranges(before, now, 0, count * k4K);
}

TEST(ExtentDiff, TheSamePlaceIsUnchanged) {
  EXPECT_THAT(same({extent(0, 100, 10)}, {extent(0, 100, 10)}, 10), ElementsAre(blocks(0, 10)));
  EXPECT_THAT(same({extent(0, 100, 10)}, {extent(0, 101, 10)}, 10), IsEmpty());
}

TEST(ExtentDiff, HolesInBothAreUnchanged) {
  EXPECT_THAT(same({}, {}, 10), ElementsAre(blocks(0, 10)));
  EXPECT_THAT(same({extent(2, 100, 2)}, {extent(2, 100, 2)}, 10), ElementsAre(blocks(0, 10)));
  EXPECT_THAT(same({extent(2, 100, 2)}, {}, 10), ElementsAre(blocks(0, 2), blocks(4, 6)));
  EXPECT_THAT(same({}, {extent(2, 100, 2)}, 10), ElementsAre(blocks(0, 2), blocks(4, 6)));
}

TEST(ExtentDiff, SplitsDoNotMatter) {
  EXPECT_THAT(same({extent(0, 100, 10)}, {extent(0, 100, 3), extent(3, 103, 7)}, 10), ElementsAre(blocks(0, 10)));
  EXPECT_THAT(same({extent(0, 100, 5), extent(5, 105, 5)}, {extent(0, 100, 3), extent(3, 103, 7)}, 10),
              ElementsAre(blocks(0, 10)));
}

TEST(ExtentDiff, AWriteInTheMiddleIsExactlyThat) {
  EXPECT_THAT(same({extent(0, 100, 10)}, {extent(0, 100, 4), extent(4, 500, 1), extent(5, 105, 5)}, 10),
              ElementsAre(blocks(0, 4), blocks(5, 5)));
}

TEST(ExtentDiff, FlagsThatSayNothingAboutThePlaceDoNotMatter) {
  const std::uint32_t harmless = FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_MERGED | FIEMAP_EXTENT_SHARED;
  EXPECT_THAT(same({extent(0, 100, 10, harmless)}, {extent(0, 100, 10)}, 10), ElementsAre(blocks(0, 10)));
}

TEST(ExtentDiff, DoubtfulFlagsCountAsChangedOnEitherSide) {
  for (const std::uint32_t flag :
       {FIEMAP_EXTENT_UNKNOWN, FIEMAP_EXTENT_DELALLOC, FIEMAP_EXTENT_ENCODED, FIEMAP_EXTENT_DATA_ENCRYPTED,
        FIEMAP_EXTENT_NOT_ALIGNED, FIEMAP_EXTENT_DATA_INLINE, FIEMAP_EXTENT_DATA_TAIL, 1 << 30}) {
    SCOPED_TRACE(flag);
    EXPECT_THAT(same({extent(0, 100, 10, flag)}, {extent(0, 100, 10, flag)}, 10), IsEmpty());
    EXPECT_THAT(same({extent(0, 100, 10, flag)}, {extent(0, 100, 10)}, 10), IsEmpty());
    EXPECT_THAT(same({extent(0, 100, 10)}, {extent(0, 100, 10, flag)}, 10), IsEmpty());
  }
}

TEST(ExtentDiff, WrittenAndUnwrittenDiffer) {
  const std::uint32_t unwritten = FIEMAP_EXTENT_UNWRITTEN;
  EXPECT_THAT(same({extent(0, 100, 10, unwritten)}, {extent(0, 100, 10)}, 10), IsEmpty());
  EXPECT_THAT(same({extent(0, 100, 10)}, {extent(0, 100, 10, unwritten)}, 10), IsEmpty());
  EXPECT_THAT(same({extent(0, 100, 10, unwritten)}, {}, 10), IsEmpty());
  EXPECT_THAT(same({extent(0, 100, 10, unwritten)}, {extent(0, 100, 10, unwritten)}, 10), ElementsAre(blocks(0, 10)));
}

TEST(ExtentDiff, NowhereIsNoPlace) {
  EXPECT_THAT(same({extent(0, 0, 10)}, {extent(0, 0, 10)}, 10), IsEmpty());
}

TEST(ExtentDiff, ListsThatAreOutOfOrderAreNotBelieved) {
  const Extents good = {extent(0, 100, 2), extent(2, 102, 8)};
  EXPECT_THAT(same({extent(2, 102, 8), extent(0, 100, 2)}, good, 10), IsEmpty());
  EXPECT_THAT(same(good, {extent(0, 100, 3), extent(2, 102, 8)}, 10), IsEmpty());
  EXPECT_THAT(same(good, {extent(0, 100, 0), extent(2, 102, 8)}, 10), IsEmpty());
  EXPECT_THAT(same(good, {MappedExtent{UINT64_MAX - 10, 100, 100, 0}}, 10), IsEmpty());
}

TEST(ExtentDiff, OnlyTheWindowIsAnswered) {
  EXPECT_THAT(unchanged_ranges(Extents{extent(0, 100, 10)}, Extents{extent(0, 100, 10)}, 2 * k4K, 5 * k4K),
              ElementsAre(blocks(2, 3)));
}

// A disk of blocks: where each lies and with which flags; a random list of extents that says so.
struct RandomDisk {
  struct Block {
    std::uint64_t physical = 0;  // 0: hole
    std::uint32_t flags = 0;
    bool operator==(const Block&) const = default;
  };
  std::vector<Block> blocks;

  [[nodiscard]] Extents extents(std::mt19937_64& random) const {
    Extents list;
    for (std::uint64_t i = 0; i < blocks.size(); ++i) {
      if (blocks[i].physical == 0) continue;
      if (!list.empty() && random() % 4 != 0) {
        MappedExtent& last = list.back();
        if (last.logical + last.length == i * k4K && last.physical + last.length == blocks[i].physical * k4K &&
            last.flags == blocks[i].flags) {
          last.length += k4K;
          continue;
        }
      }
      list.push_back(extent(i, blocks[i].physical, 1, blocks[i].flags));
    }
    return list;
  }
};

RandomDisk random_disk(std::mt19937_64& random, std::size_t count) {
  static constexpr std::uint32_t kFlags[] = {
      0, 0, 0, 0, FIEMAP_EXTENT_UNWRITTEN, FIEMAP_EXTENT_ENCODED, FIEMAP_EXTENT_SHARED};
  RandomDisk disk;
  while (disk.blocks.size() < count) {
    const std::uint64_t run = 1 + random() % 8;
    const std::uint64_t physical = random() % 4 == 0 ? 0 : 1 + random() % 1000;
    const std::uint32_t flags = kFlags[random() % std::size(kFlags)];
    for (std::uint64_t i = 0; i < run; ++i)
      disk.blocks.push_back(physical == 0 ? RandomDisk::Block{} : RandomDisk::Block{physical + i, flags});
  }
  disk.blocks.resize(count);
  return disk;
}

bool same_block(const RandomDisk::Block& a, const RandomDisk::Block& b) {
  if (((a.flags | b.flags) & FIEMAP_EXTENT_ENCODED) != 0) return false;
  if ((a.flags & FIEMAP_EXTENT_UNWRITTEN) != (b.flags & FIEMAP_EXTENT_UNWRITTEN)) return false;
  return a.physical == b.physical;
}

// Where it differs from `before` in some runs.
RandomDisk changed(std::mt19937_64& random, const RandomDisk& before) {
  RandomDisk now = before;
  const RandomDisk other = random_disk(random, before.blocks.size());
  for (std::size_t i = 0; i < now.blocks.size();) {
    const std::size_t run = 1 + random() % 10;
    const bool take = random() % 3 == 0;
    for (std::size_t end = std::min(i + run, now.blocks.size()); i < end; ++i)
      if (take) now.blocks[i] = other.blocks[i];
  }
  return now;
}

TEST(ExtentDiff, AgreesWithABlockByBlockComparison) {
  std::mt19937_64 random(seed());
  for (int round = 0; round < 2000; ++round) {
    SCOPED_TRACE(round);
    const RandomDisk before = random_disk(random, 1 + random() % 200);
    const RandomDisk now = changed(random, before);
    const std::size_t count = before.blocks.size();
    std::vector<bool> found(count, false);
    std::uint64_t last_end = 0;
    for (const ByteRange& range : same(before.extents(random), now.extents(random), count)) {
      EXPECT_TRUE(range.offset > last_end || last_end == 0);  // merged
      last_end = range.offset + range.size;
      for (std::uint64_t at = range.offset; at < last_end; at += k4K) found[at / k4K] = true;
    }
    for (std::size_t i = 0; i < count; ++i)
      ASSERT_EQ(found[i], same_block(before.blocks[i], now.blocks[i])) << "block " << i;
  }
}

// Answers in batches of a few extents.
ReadExtents in_batches(Extents list, std::size_t batch_extents) {
  return [list = std::move(list), batch_extents](std::uint64_t from) -> Result<ExtentBatch> {
    ExtentBatch batch;
    batch.from = from;
    batch.end = UINT64_MAX;
    for (const MappedExtent& extent : list) {
      if (extent.logical + extent.length <= from) continue;
      if (batch.extents.size() == batch_extents) {
        batch.end = batch.extents.back().logical + batch.extents.back().length;
        break;
      }
      batch.extents.push_back(extent);
    }
    return batch;
  };
}

TEST(ChangeTracker, SmallBatchesGiveTheSameAnswerAsOne) {
  std::mt19937_64 random(seed());
  for (int round = 0; round < 500; ++round) {
    SCOPED_TRACE(round);
    const RandomDisk before = random_disk(random, 1 + random() % 200);
    const RandomDisk now = changed(random, before);
    const std::uint64_t old_size = before.blocks.size() * k4K - random() % k4K;
    const std::uint64_t new_size = before.blocks.size() * k4K - random() % k4K;
    const std::uint64_t common = std::min(old_size, new_size);
    ChangeTracker tracker(in_batches(before.extents(random), 1 + random() % 5), old_size,
                          in_batches(now.extents(random), 1 + random() % 5), new_size);
    bool last_unchanged = false;
    for (std::uint64_t at = 0; at < new_size;) {
      const ChangeTracker::Run run = tracker.at(at);
      ASSERT_GT(run.end, at);
      ASSERT_LE(run.end, new_size);
      EXPECT_FALSE(run.unchanged && last_unchanged) << "an unchanged run was cut in two";
      last_unchanged = run.unchanged;
      for (std::uint64_t byte = at; byte < run.end; byte += k4K - byte % k4K) {
        const std::uint64_t block = byte / k4K;
        const bool expected = byte < common && same_block(before.blocks[block], now.blocks[block]);
        ASSERT_EQ(run.unchanged, expected) << "byte " << byte;
      }
      at = run.end;
    }
    // Any order is right, if slower.
    for (int probe = 0; probe < 20; ++probe) {
      const std::uint64_t at = random() % new_size;
      const bool expected = at < common && same_block(before.blocks[at / k4K], now.blocks[at / k4K]);
      EXPECT_EQ(tracker.at(at).unchanged, expected);
    }
  }
}

TEST(ChangeTracker, WhatLiesPastTheSmallerSizeIsChanged) {
  const Extents list = {extent(0, 100, 100)};
  ChangeTracker grown(in_batches(list, 9), 10 * k4K + 100, in_batches(list, 9), 20 * k4K);
  EXPECT_TRUE(grown.at(0).unchanged);
  EXPECT_EQ(grown.at(0).end, 10 * k4K + 100);
  EXPECT_FALSE(grown.at(10 * k4K + 100).unchanged);
  ChangeTracker cut(in_batches(list, 9), 20 * k4K, in_batches(list, 9), 10 * k4K + 100);
  EXPECT_TRUE(cut.at(0).unchanged);
  EXPECT_EQ(cut.at(0).end, 10 * k4K + 100);
}

TEST(ChangeTracker, AnExtentThatMovesWhileWeLookIsChanged) {
  // Balancing moves the old clone's extent away, and its place is given to new data of the image: a single look at each
  // would find both at the same place.
  int looks = 0;
  const auto before = [&](std::uint64_t from) {
    return in_batches({looks++ == 0 ? extent(0, 100, 10) : extent(0, 900, 10)}, 9)(from);
  };
  ChangeTracker tracker(before, 10 * k4K, in_batches({extent(0, 100, 10)}, 9), 10 * k4K);
  EXPECT_FALSE(tracker.at(0).unchanged);
  EXPECT_GE(looks, 2);
}

TEST(ChangeTracker, AMapThatCannotBeReadMakesTheRestChanged) {
  const auto fails_later = [](std::uint64_t from) -> Result<ExtentBatch> {
    if (from > 0) return fail(ErrorCode::image_unreadable, "read extents of", "the clone", "on purpose");
    return in_batches({extent(0, 100, 5), extent(5, 200, 5), extent(11, 300, 5)}, 2)(from);
  };
  const Extents list = {extent(0, 100, 5), extent(5, 200, 5), extent(11, 300, 5)};
  ChangeTracker tracker(fails_later, 20 * k4K, in_batches(list, 9), 20 * k4K);
  const ChangeTracker::Run first = tracker.at(0);
  EXPECT_TRUE(first.unchanged);
  EXPECT_EQ(first.end, 10 * k4K);
  EXPECT_FALSE(tracker.at(10 * k4K).unchanged);
  EXPECT_EQ(tracker.at(10 * k4K).end, 20 * k4K);
  EXPECT_THAT(tracker.trouble(), ::testing::HasSubstr("on purpose"));
  // For good: what could be read before is not asked for again.
  EXPECT_FALSE(tracker.at(0).unchanged);
}

TEST(ChangeTracker, VisitsTheUnchangedPartsOfARange) {
  ChangeTracker tracker(in_batches({extent(0, 100, 10)}, 9), 10 * k4K,
                        in_batches({extent(0, 100, 4), extent(4, 500, 1), extent(5, 105, 5)}, 1), 10 * k4K);
  std::vector<ByteRange> visited;
  tracker.visit_unchanged({2 * k4K, 6 * k4K}, [&](ByteRange range) { visited.push_back(range); });
  EXPECT_THAT(visited, ElementsAre(blocks(2, 2), blocks(5, 3)));
}

}  // namespace
}  // namespace cairn::testing
