// SPDX-License-Identifier: GPL-3.0-or-later
// The one owner of sorting, merging and cutting off byte ranges.
#include "config/base/ranges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t kEnd = UINT64_MAX;

std::vector<ByteRange> tidied(std::vector<ByteRange> ranges) {
  merge_ranges(ranges);
  return ranges;
}

TEST(Ranges, AreSortedAndMerged) {
  EXPECT_THAT(tidied({}), IsEmpty());
  EXPECT_THAT(tidied({{30, 5}, {0, 10}, {10, 5}}), ElementsAre(ByteRange{0, 15}, ByteRange{30, 5})) << "they touch";
  EXPECT_THAT(tidied({{0, 100}, {10, 5}, {50, 60}}), ElementsAre(ByteRange{0, 110})) << "they overlap";
  EXPECT_THAT(tidied({{0, 10}, {11, 5}}), ElementsAre(ByteRange{0, 10}, ByteRange{11, 5})) << "a gap of one byte";
  EXPECT_THAT(tidied({{0, 10}, {0, 10}, {20, 0}}), ElementsAre(ByteRange{0, 10})) << "empty ones go";
}

TEST(Ranges, AreCutOff) {
  EXPECT_THAT(tidy_ranges({{90, 20}, {100, 5}, {0, 10}, {200, 1}}, 100),
              ElementsAre(ByteRange{0, 10}, ByteRange{90, 10}));
  EXPECT_THAT(tidy_ranges({{0, 10}}, 0), IsEmpty());
  EXPECT_THAT(tidy_ranges({{5, kEnd}}, 100), ElementsAre(ByteRange{5, 95})) << "sizes from a damaged disk";
}

TEST(Ranges, DoNotWrapAround) {
  EXPECT_EQ(end_of({10, kEnd}), kEnd);
  EXPECT_THAT(tidied({{kEnd - 5, kEnd}, {0, 1}}), ElementsAre(ByteRange{0, 1}, ByteRange{kEnd - 5, kEnd}));
  EXPECT_THAT(tidied({{10, kEnd}, {20, 5}}), ElementsAre(ByteRange{10, kEnd - 10}));
}

TEST(Ranges, GrowInOrder) {
  ByteRange last{10, 5};
  EXPECT_TRUE(extend_range(last, {15, 5}));
  EXPECT_EQ(last, (ByteRange{10, 10}));
  EXPECT_TRUE(extend_range(last, {12, 2})) << "it lies inside";
  EXPECT_EQ(last, (ByteRange{10, 10}));
  EXPECT_FALSE(extend_range(last, {21, 5}));
  EXPECT_EQ(last, (ByteRange{10, 10}));
}

}  // namespace
}  // namespace cairn
