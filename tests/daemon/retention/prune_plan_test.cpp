// SPDX-License-Identifier: GPL-3.0-or-later
// Which points stay, and why.
#include "daemon/retention/prune_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/settings.h"
#include "tests/daemon/manual_clock.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using std::chrono::days;
using std::chrono::hours;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

const UtcTime kNow = utc("2026-11-21T12:00:00Z");

PrunePoint at(UtcTime time) {
  PrunePoint point;
  point.name = {"web", time};
  return point;
}

class PrunePlan : public testing::Test {
 protected:
  PrunePlan() {
    policy_.name = "p";
    policy_.retention = {};
    policy_.retention.daily = 2;
  }
  std::vector<PlannedPoint> plan() {
    return value_of(plan_prune(points_, {in_settings_ ? &policy_ : nullptr, kNow, trusted_, must_stay_, latest_}));
  }
  // The row of the point of that time.
  PlannedPoint row(UtcTime time) {
    for (const PlannedPoint& planned : plan())
      if (planned.name.time == time) return planned;
    ADD_FAILURE() << "no row for " << iso_time(time);
    return {};
  }
  PrunePoint& add(UtcTime time) { return points_.emplace_back(at(time)); }
  // One a day, the newest of today.
  void add_days(int count) {
    for (int day = 0; day < count; ++day) add(kNow - hours(1) - days(day));
  }
  static UtcTime day(int back) { return kNow - hours(1) - days(back); }

  Policy policy_;
  std::vector<PrunePoint> points_;
  UtcTime trusted_ = kNow;
  bool in_settings_ = true;
  std::function<bool(const std::string&)> must_stay_;
  std::optional<PointName> latest_;
};

TEST_F(PrunePlan, HidesWhatTheRuleDoesNotKeep) {
  add_days(4);
  const auto rows = plan();
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[0].action, PruneAction::keep);
  EXPECT_THAT(rows[0].reasons, ElementsAre("newest", "daily 1 of 2"));
  EXPECT_THAT(rows[1].reasons, ElementsAre("daily 2 of 2"));
  for (const PlannedPoint& gone : {rows[2], rows[3]}) {
    EXPECT_EQ(gone.action, PruneAction::hide);
    EXPECT_THAT(gone.reasons, IsEmpty());
    EXPECT_EQ(gone.purge_after, kNow + days(14));
  }
}

TEST_F(PrunePlan, WithSoftDeleteOffItIsRemovedAtOnce) {
  policy_.soft_delete.reset();
  add_days(3);
  EXPECT_EQ(row(day(2)).action, PruneAction::purge);
  EXPECT_FALSE(row(day(2)).purge_after);
}

TEST_F(PrunePlan, KeepsTheNewestThatIsProvedEvenWhenTheRuleDoesNot) {
  add_days(6);
  points_[3].proved = true;
  points_[5].proved = true;
  EXPECT_THAT(row(day(3)).reasons, ElementsAre("newest proved"));
  EXPECT_EQ(row(day(5)).action, PruneAction::hide) << "only the newest of them";
  points_[0].proved = true;
  EXPECT_THAT(row(day(0)).reasons, ElementsAre("newest", "daily 1 of 2", "newest proved"));
  EXPECT_EQ(row(day(3)).action, PruneAction::hide);
}

TEST_F(PrunePlan, KeepsWhatIsYoungerThanADay) {
  add(kNow - hours(1));
  add(kNow - hours(2));
  add(kNow - hours(24) + std::chrono::seconds(1));
  add(kNow - hours(24));
  add(kNow - hours(25));
  add(kNow - hours(26));
  EXPECT_THAT(row(kNow - hours(2)).reasons, ElementsAre("younger than a day"));
  EXPECT_EQ(row(kNow - hours(24) + std::chrono::seconds(1)).action, PruneAction::keep);
  EXPECT_EQ(row(kNow - hours(26)).action, PruneAction::hide);
}

TEST_F(PrunePlan, KeepsTheProtectedOnes) {
  add_days(6);
  points_[3].protection = Protection{points_[3].name, kNow, std::nullopt};
  points_[4].protection = Protection{points_[4].name, kNow, kNow + days(1)};
  points_[5].protection = Protection{points_[5].name, kNow - days(9), kNow};
  EXPECT_THAT(row(day(3)).reasons, ElementsAre("protected"));
  EXPECT_THAT(row(day(4)).reasons, ElementsAre("protected until " + iso_time(kNow + days(1))));
  EXPECT_EQ(row(day(5)).action, PruneAction::hide);
  points_[2].protection_unreadable = true;
  EXPECT_EQ(row(day(2)).action, PruneAction::keep);
}

TEST_F(PrunePlan, KeepsTheImmutableOnesByWhatThePointSaysOrThePolicySaysNow) {
  add_days(6);
  points_[4].immutable_until = kNow + days(2);
  points_[5].immutable_until = kNow;
  EXPECT_THAT(row(day(4)).reasons, ElementsAre("immutable until " + iso_time(kNow + days(2))));
  EXPECT_EQ(row(day(5)).action, PruneAction::hide);
  policy_.immutable = days(4);  // longer than the point says
  EXPECT_THAT(row(day(3)).reasons, ElementsAre("immutable until " + iso_time(day(3) + days(4))));
  EXPECT_THAT(row(day(4)).reasons, ElementsAre("immutable until " + iso_time(kNow + days(2)))) << "the longer counts";
  EXPECT_EQ(row(day(5)).action, PruneAction::hide);
  // A clock that ran ahead does not shorten it.
  policy_.immutable.reset();
  trusted_ = kNow - days(3);
  EXPECT_THAT(row(day(5)).reasons, ElementsAre("immutable until " + iso_time(kNow)));
}

TEST_F(PrunePlan, KeepsAndNamesTheDamagedOnesAndDoesNotCountThem) {
  add_days(4);
  points_[0].damage = Error{ErrorCode::point_damaged, "read", "p", "", 0, {}};
  EXPECT_THAT(row(day(0)).reasons, ElementsAre("damaged"));
  EXPECT_TRUE(row(day(0)).damaged);
  EXPECT_THAT(row(day(1)).reasons, ElementsAre("newest", "daily 1 of 2"));
  EXPECT_THAT(row(day(2)).reasons, ElementsAre("daily 2 of 2"));
  EXPECT_EQ(row(day(3)).action, PruneAction::hide);
}

TEST_F(PrunePlan, ASuspectPointPushesOutNoOtherAndSuspectOnesDoNotPileUp) {
  add_days(6);
  for (const int back : {0, 1, 2}) points_[static_cast<std::size_t>(back)].suspect = true;
  points_[1].proved = points_[4].proved = true;
  EXPECT_THAT(row(day(0)).reasons, ElementsAre("suspect: newest", "suspect: daily 1 of 2"));
  EXPECT_THAT(row(day(1)).reasons, ElementsAre("suspect: daily 2 of 2"));
  EXPECT_EQ(row(day(2)).action, PruneAction::hide);
  EXPECT_THAT(row(day(3)).reasons, ElementsAre("newest", "daily 1 of 2"));
  EXPECT_THAT(row(day(4)).reasons, ElementsAre("daily 2 of 2", "newest proved")) << "the newer proved one is suspect";
  EXPECT_EQ(row(day(5)).action, PruneAction::hide);
}

TEST_F(PrunePlan, TheNewestProvedPointIsRatherOneThatIsNotTorn) {
  add_days(5);
  for (PrunePoint& point : points_) point.proved = point.torn = true;
  EXPECT_THAT(row(day(0)).reasons, Contains("newest proved")) << "there is no other";
  points_[4].torn = false;
  EXPECT_THAT(row(day(4)).reasons, ElementsAre("newest proved"));
  EXPECT_THAT(row(day(0)).reasons, Not(Contains("newest proved")));
}

TEST_F(PrunePlan, ADateOfAWrongClockCountsAsTheTimeWhenThePointWasTaken) {
  add_days(3);
  PrunePoint& ahead = add(kNow + days(5000));
  ahead.taken = day(1) - hours(2);
  latest_ = points_[0].name;
  // It is the second of its day, and neither new nor young.
  EXPECT_EQ(row(kNow + days(5000)).action, PruneAction::hide);
  EXPECT_THAT(row(day(0)).reasons, ElementsAre("newest", "daily 1 of 2"));
  policy_.immutable = days(2);
  EXPECT_THAT(row(kNow + days(5000)).reasons, ElementsAre("immutable until " + iso_time(*points_[3].taken + days(2))));
}

TEST_F(PrunePlan, TheLastPointWrittenIsKeptWhateverItsDate) {
  add_days(5);
  latest_ = points_[4].name;
  EXPECT_THAT(row(day(4)).reasons, ElementsAre("newest"));
}

TEST_F(PrunePlan, TheLastPointWithADiskThatIsNotBackedUpAnyMoreStays) {
  add_days(6);
  for (PrunePoint& point : points_) point.disks = {"root"};
  points_[4].disks = points_[5].disks = {"root", "data"};
  const auto without = [&](std::vector<std::string> gone) {
    must_stay_ = [gone](const std::string& disk) { return std::ranges::find(gone, disk) != gone.end(); };
  };
  without({"data"});
  EXPECT_THAT(row(day(4)).reasons, ElementsAre("the last with disk data"));
  EXPECT_EQ(row(day(5)).action, PruneAction::hide);
  points_[4].damage = Error{ErrorCode::point_damaged, "read", "p", "", 0, {}};
  EXPECT_THAT(row(day(5)).reasons, ElementsAre("the last with disk data")) << "the other cannot be read";
  points_[4].damage.reset();
  without({});
  EXPECT_EQ(row(day(4)).action, PruneAction::hide) << "backed up again, or left out on purpose";
}

TEST(TakenAt, IsTheEarliestThatIsKnown) {
  const PointName name{"web", kNow};
  const UtcTime before = kNow - days(9);  // then the point is one of the future
  EXPECT_EQ(taken_at(name, {}, kNow, before), kNow);
  EXPECT_EQ(taken_at(name, kNow - days(4), kNow, before), kNow - days(4));
  EXPECT_EQ(taken_at(name, kNow - days(4), kNow - days(5), before), kNow - days(5));
}

TEST(TakenAt, AClockThatWasBehindMakesNoEarlierPointOlder) {
  const PointName name{"web", kNow - days(3)};
  EXPECT_EQ(taken_at(name, {}, kNow - days(2000), kNow), kNow - days(3));
  EXPECT_EQ(taken_at(name, kNow - days(4), kNow - days(2000), kNow), kNow - days(4));
}

TEST_F(PrunePlan, KeepsAllOfAMachineThatIsNotInTheSettings) {
  in_settings_ = false;
  add_days(5);
  for (const PlannedPoint& planned : plan()) {
    EXPECT_EQ(planned.action, PruneAction::keep);
    EXPECT_THAT(planned.reasons, Contains("the machine is not in the settings"));
  }
}

TEST_F(PrunePlan, RemovesDeletedPointsWhenTheirTimeHasCome) {
  add_days(4);
  for (const int back : {1, 2, 3}) points_[static_cast<std::size_t>(back)].deleted = true;
  points_[1].deletion = Deletion{points_[1].name, kNow - days(14), kNow, "by hand"};
  points_[2].deletion = Deletion{points_[2].name, kNow - days(13), kNow + days(1), "retention"};
  EXPECT_EQ(row(day(1)).action, PruneAction::purge);
  EXPECT_EQ(row(day(2)).action, PruneAction::wait);
  EXPECT_EQ(row(day(2)).purge_after, kNow + days(1));
  EXPECT_EQ(row(day(3)).action, PruneAction::wait) << "until when is not known: nothing is removed by guessing";
  in_settings_ = false;
  EXPECT_EQ(row(day(1)).action, PruneAction::purge) << "somebody deleted it";
  points_[1].immutable_until = kNow + days(9);
  EXPECT_EQ(row(day(1)).action, PruneAction::wait);
}

TEST_F(PrunePlan, DoesNotCountDeletedPointsForTheRule) {
  add_days(4);
  points_[0].deleted = points_[1].deleted = true;
  points_[0].deletion = Deletion{points_[0].name, kNow, kNow + days(14), "by hand"};
  points_[1].deletion = points_[0].deletion;
  EXPECT_THAT(row(day(2)).reasons, ElementsAre("newest", "daily 1 of 2"));
  EXPECT_THAT(row(day(3)).reasons, ElementsAre("daily 2 of 2"));
}

TEST_F(PrunePlan, IsTheSameInAnyOrderAndTheSecondTime) {
  add_days(12);
  const auto once = plan();
  std::ranges::reverse(points_);
  const auto other = plan();
  ASSERT_EQ(once.size(), other.size());
  for (std::size_t i = 0; i < once.size(); ++i) {
    EXPECT_EQ(once[i].name, other[i].name);
    EXPECT_EQ(once[i].action, other[i].action);
    EXPECT_EQ(once[i].reasons, other[i].reasons);
  }
  // As the prune leaves it.
  for (PrunePoint& point : points_)
    if (row(point.name.time).action == PruneAction::hide) {
      point.deleted = true;
      point.deletion = Deletion{point.name, kNow, kNow + days(14), "retention"};
    }
  for (const PlannedPoint& planned : plan()) EXPECT_NE(planned.action, PruneAction::hide) << planned.name.text();
}

TEST_F(PrunePlan, CountsDaysInThePolicysZone) {
  policy_.schedule = value_of(Schedule::parse("@daily", "Pacific/Auckland"));
  policy_.retention.daily = 1;
  add(utc("2026-11-20T10:30:00Z"));  // 23:30 on the 20th there
  add(utc("2026-11-20T11:30:00Z"));  // 00:30 on the 21st
  add(utc("2026-11-19T11:30:00Z"));  // 00:30 on the 20th
  EXPECT_THAT(row(utc("2026-11-20T11:30:00Z")).reasons, ElementsAre("newest", "daily 1 of 1"));
  EXPECT_EQ(row(utc("2026-11-20T10:30:00Z")).action, PruneAction::hide);
}

}  // namespace
}  // namespace cairn
