// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/space_trend.h"

#include <gtest/gtest.h>

#include <fstream>

#include "config/base/units.h"
#include "tests/daemon/manual_clock.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using std::chrono::days;
using std::chrono::hours;

const UtcTime kNow = utc("2026-11-22T12:00:00Z");
constexpr std::uint64_t kGiBytes = std::uint64_t{1} << 30U;

// One a day, the oldest first; the last is of now.
std::vector<SpaceSample> daily(const std::vector<std::uint64_t>& free_gib, std::uint64_t total = 1000 * kGiBytes) {
  std::vector<SpaceSample> samples;
  for (std::size_t i = 0; i < free_gib.size(); ++i)
    samples.push_back({kNow - days(free_gib.size() - 1 - i), free_gib[i] * kGiBytes, total});
  return samples;
}

TEST(DaysLeft, FollowsTheLineThroughTheSamples) {
  const auto left = days_left(daily({140, 130, 120, 110, 100}), kNow);
  ASSERT_TRUE(left);
  EXPECT_NEAR(*left, 10.0, 0.01);
}

TEST(DaysLeft, AnOddDayDoesNotTurnIt) {
  const auto left = days_left(daily({140, 130, 135, 110, 100}), kNow);  // a prune on the third
  ASSERT_TRUE(left);
  EXPECT_NEAR(*left, 10.0, 1.0);
}

TEST(DaysLeft, IsNotKnownFromTooLittle) {
  EXPECT_FALSE(days_left({}, kNow));
  EXPECT_FALSE(days_left(daily({120, 100}), kNow)) << "two samples";
  std::vector<SpaceSample> one_day;
  for (int i = 5; i >= 0; --i) one_day.push_back({kNow - hours(i), (100 + 10 * i) * kGiBytes, 1000 * kGiBytes});
  EXPECT_FALSE(days_left(one_day, kNow)) << "an afternoon";
}

TEST(DaysLeft, ThereIsNoneWhereTheSpaceDoesNotShrink) {
  EXPECT_FALSE(days_left(daily({100, 100, 100, 100}), kNow));
  EXPECT_FALSE(days_left(daily({100, 110, 120, 130}), kNow));
}

TEST(DaysLeft, BeginsAnewWhenTheFileSystemWasEnlarged) {
  auto samples = daily({140, 130, 120, 110});
  samples.push_back({kNow, 2000 * kGiBytes, 3000 * kGiBytes});
  EXPECT_FALSE(days_left(samples, kNow));
}

TEST(DaysLeft, LeavesOutWhatIsOldOrOfTheFuture) {
  auto samples = daily({500, 100, 100, 100});
  samples.front().time = kNow - days(20);
  EXPECT_FALSE(days_left(samples, kNow));
  samples = daily({100, 100, 100, 100});
  samples.push_back({kNow + days(3), 1, 1000 * kGiBytes});
  EXPECT_FALSE(days_left(samples, kNow));
}

class SpaceHistoryTest : public testing::Test {
 protected:
  TemporaryDirectory directory_;
  const std::filesystem::path state_ = directory_.path() / "state";
};

TEST_F(SpaceHistoryTest, KeepsASampleAnHour) {
  SpaceHistory history(state_, "ab");
  EXPECT_TRUE(history.samples().empty());
  history.note({kNow, 10, 100});
  history.note({kNow + std::chrono::minutes(59), 9, 100});
  history.note({kNow + hours(1), 8, 100});
  const std::vector<SpaceSample> expected = {{kNow, 10, 100}, {kNow + hours(1), 8, 100}};
  EXPECT_EQ(SpaceHistory(state_, "ab").samples(), expected);
  EXPECT_TRUE(SpaceHistory(state_, "cd").samples().empty()) << "another store";
}

TEST_F(SpaceHistoryTest, ForgetsAfterAMonthAndWhatAClockAheadWrote) {
  SpaceHistory history(state_, "ab");
  history.note({kNow, 10, 100});
  history.note({kNow + days(31), 9, 100});
  EXPECT_EQ(history.samples().size(), 1U);
  history.note({kNow + days(2), 8, 100});
  ASSERT_EQ(history.samples().size(), 1U);
  EXPECT_EQ(history.samples().front().free, 8U);
}

TEST_F(SpaceHistoryTest, AFileThatIsNoneIsBegunAnew) {
  SpaceHistory history(state_, "ab");
  history.note({kNow, 10, 100});
  for (const char* text : {"", "{", "[]", R"({"samples":[[1]]})", R"({"samples":[["x",1,2]]})"}) {
    std::ofstream(state_ / "space" / "ab.json") << text;
    EXPECT_TRUE(history.samples().empty()) << text;
    history.note({kNow, 10, 100});
    EXPECT_EQ(history.samples().size(), 1U) << text;
  }
}

TEST_F(SpaceHistoryTest, WithoutAStateDirectoryNothingIsKept) {
  SpaceHistory history({}, "ab");
  history.note({kNow, 10, 100});
  EXPECT_TRUE(history.samples().empty());
}

}  // namespace
}  // namespace cairn
