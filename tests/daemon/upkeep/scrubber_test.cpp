// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/upkeep/scrubber.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "config/base/units.h"
#include "tests/daemon/manual_clock.h"

namespace cairn {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::seconds;

const UtcTime kNow{seconds(1'795'219'200)};

TEST(Scrub, IntervalsAreAThirtiethOfTheGoalWithinAnHourAndADay) {
  EXPECT_EQ(scrub_interval(days(30)), days(1));
  EXPECT_EQ(scrub_interval(days(365)), days(1));
  EXPECT_EQ(scrub_interval(days(10)), hours(8));
  EXPECT_EQ(scrub_interval(days(1)), hours(1));
}

TEST(Scrub, SlicesReadEverythingTwiceAsOftenAsTheyMust) {
  const ScrubSlice slice = scrub_slice(days(30), 300 * kGiB, kNow - days(3), kNow);
  EXPECT_EQ(slice.bytes, 20 * kGiB);
  EXPECT_EQ(slice.not_since, kNow - days(15));
}

TEST(Scrub, WhatIsLateIsReadFaster) {
  EXPECT_EQ(scrub_slice(days(30), 300 * kGiB, kNow - days(31), kNow).bytes, 80 * kGiB);
  EXPECT_EQ(scrub_slice(days(1), kGiB, kNow - days(31), kNow).bytes, kGiB * 8 / 24);
}

TEST(Scrub, ASmallOrEmptyStoreGetsAPack) {
  EXPECT_EQ(scrub_slice(days(30), 10, {}, kNow).bytes, 1U);
  EXPECT_EQ(scrub_slice(days(30), 0, {}, kNow).bytes, 1U);
}

// However the days go, everything is checked within the goal.
TEST(Scrub, EveryPackIsCheckedWithinTheGoal) {
  constexpr std::size_t kPacks = 1000;
  constexpr seconds kGoal = days(30);
  std::vector<UtcTime> checked(kPacks, kNow);
  UtcTime now = kNow;
  for (int day = 0; day < 200; ++day) {
    now += scrub_interval(kGoal);
    const ScrubSlice slice = scrub_slice(kGoal, kPacks, *std::ranges::min_element(checked), now);
    std::ranges::sort(checked);
    for (std::size_t i = 0; i < slice.bytes && i < kPacks; ++i)
      if (checked[i] <= slice.not_since) checked[i] = now;
    EXPECT_LE(now - *std::ranges::min_element(checked), kGoal) << day;
  }
}

class ScrubberTest : public testing::Test {
 protected:
  Scrubber make() {
    return Scrubber(clock_, {[this] { return settings_; }, [this] { return last_; },
                             [this](seconds every) -> Result<void> {
                               begun_.push_back(every);
                               if (fails_) return fail(ErrorCode::job_conflict, "verify", "store");
                               return {};
                             }});
  }
  ScrubberTest() { clock_.set(kNow); }
  ManualClock clock_;
  std::shared_ptr<Settings> settings_ = std::make_shared<Settings>();
  std::optional<UtcTime> last_;
  std::vector<seconds> begun_;
  bool fails_ = false;
};

TEST_F(ScrubberTest, BeginsASliceWhenTheLastOneIsAnIntervalOld) {
  Scrubber scrubber = make();
  last_ = kNow - hours(23);
  EXPECT_LE(scrubber.look(), seconds(300));
  EXPECT_TRUE(begun_.empty());
  last_ = kNow - hours(24);
  (void)scrubber.look();
  EXPECT_EQ(begun_, std::vector<seconds>{days(30)});
  (void)scrubber.look();  // its own last one counts, journal or not
  EXPECT_EQ(begun_.size(), 1U);
  clock_.advance(hours(24));
  (void)scrubber.look();
  EXPECT_EQ(begun_.size(), 2U);
}

TEST_F(ScrubberTest, OffIsOff) {
  settings_->maintenance.verify_every.reset();
  Scrubber scrubber = make();
  (void)scrubber.look();
  EXPECT_TRUE(begun_.empty());
}

TEST_F(ScrubberTest, ALastSliceInTheFutureIsThatOfAWrongClock) {
  last_ = kNow + days(400);
  Scrubber scrubber = make();
  (void)scrubber.look();
  EXPECT_EQ(begun_.size(), 1U);
}

TEST_F(ScrubberTest, ABusyStoreIsTriedAgainAtTheNextTime) {
  fails_ = true;
  Scrubber scrubber = make();
  (void)scrubber.look();
  (void)scrubber.look();
  EXPECT_EQ(begun_.size(), 1U);
  clock_.advance(days(1));
  (void)scrubber.look();
  EXPECT_EQ(begun_.size(), 2U);
}

TEST_F(ScrubberTest, StopsAtOnce) {
  Scrubber scrubber = make();
  scrubber.start();
  scrubber.poke();
  scrubber.stop();
}

}  // namespace
}  // namespace cairn
