// SPDX-License-Identifier: GPL-3.0-or-later
// Retention: tables of points and what a rule keeps of them.
#include "config/retention.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace cairn {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr RetentionRule kNothing{.last = 0, .hourly = 0, .daily = 0, .weekly = 0, .monthly = 0, .yearly = 0};

UtcTime at(std::string_view text) {
  const auto time = parse_iso_time(text);
  EXPECT_TRUE(time) << text;
  return time.value_or(UtcTime{});
}

std::vector<UtcTime> times(std::initializer_list<std::string_view> texts) {
  std::vector<UtcTime> result;
  for (const std::string_view text : texts) result.push_back(at(text));
  return result;
}

// The kept points as "TIME: REASON, REASON", newest first.
std::vector<std::string> kept(const std::vector<UtcTime>& points, const RetentionRule& rule,
                              std::string_view zone = {}) {
  const auto verdicts = apply_retention(points, rule, zone);
  EXPECT_TRUE(verdicts);
  if (!verdicts) return {};
  EXPECT_EQ(verdicts->size(), points.size());
  std::vector<std::string> result;
  for (const RetentionVerdict& verdict : *verdicts) {
    EXPECT_EQ(verdict.keep, !verdict.reasons.empty());
    if (verdict.keep) result.push_back(fmt::format("{}: {}", iso_time(verdict.time), fmt::join(verdict.reasons, ", ")));
  }
  return result;
}

TEST(Retention, KeepsNothingOfNothing) {
  EXPECT_THAT(kept({}, RetentionRule{}), IsEmpty());
}

TEST(Retention, AlwaysKeepsTheNewest) {
  EXPECT_THAT(kept(times({"2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z"}), kNothing),
              ElementsAre("2026-01-01T00:00:00Z: newest"));
}

TEST(Retention, KeepsTheLastFew) {
  RetentionRule rule = kNothing;
  rule.last = 2;
  EXPECT_THAT(kept(times({"2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-02T00:00:00Z"}), rule),
              ElementsAre("2026-01-03T00:00:00Z: newest, last 1 of 2", "2026-01-02T00:00:00Z: last 2 of 2"));
}

TEST(Retention, KeepsTheNewestOfEachHour) {
  RetentionRule rule = kNothing;
  rule.hourly = 2;
  EXPECT_THAT(
      kept(times({"2026-01-01T00:59:59Z", "2026-01-01T01:00:00Z", "2026-01-01T01:59:59Z", "2026-01-01T02:00:00Z"}),
           rule),
      ElementsAre("2026-01-01T02:00:00Z: newest, hourly 1 of 2", "2026-01-01T01:59:59Z: hourly 2 of 2"));
}

TEST(Retention, CountsOnlyDaysThatHaveAPoint) {
  RetentionRule rule = kNothing;
  rule.daily = 3;
  // A machine that was off for a year keeps what it had.
  EXPECT_THAT(kept(times({"2026-06-02T02:00:00Z", "2026-06-01T23:00:00Z", "2026-06-01T02:00:00Z",
                          "2025-05-05T02:00:00Z", "2025-05-04T02:00:00Z"}),
                   rule),
              ElementsAre("2026-06-02T02:00:00Z: newest, daily 1 of 3", "2026-06-01T23:00:00Z: daily 2 of 3",
                          "2025-05-05T02:00:00Z: daily 3 of 3"));
}

TEST(Retention, BeginsWeeksOnMonday) {
  RetentionRule rule = kNothing;
  rule.weekly = 10;
  // 2026-11-22 is a Sunday.
  EXPECT_THAT(
      kept(times({"2026-11-23T00:00:00Z", "2026-11-22T23:59:59Z", "2026-11-16T00:00:00Z", "2026-11-15T23:59:59Z"}),
           rule),
      ElementsAre("2026-11-23T00:00:00Z: newest, weekly 1 of 10", "2026-11-22T23:59:59Z: weekly 2 of 10",
                  "2026-11-15T23:59:59Z: weekly 3 of 10"));
}

TEST(Retention, KeepsOneWeekOverTheTurnOfTheYear) {
  RetentionRule rule = kNothing;
  rule.weekly = 5;
  // ISO week 2026-W53 runs from 2026-12-28 to 2027-01-03.
  EXPECT_THAT(kept(times({"2027-01-03T00:00:00Z", "2027-01-01T00:00:00Z", "2026-12-31T00:00:00Z",
                          "2026-12-28T00:00:00Z", "2026-12-27T00:00:00Z"}),
                   rule),
              ElementsAre("2027-01-03T00:00:00Z: newest, weekly 1 of 5", "2026-12-27T00:00:00Z: weekly 2 of 5"));
}

TEST(Retention, WeeksBefore1970AreWhole) {
  RetentionRule rule = kNothing;
  rule.weekly = 5;
  // 1969-12-29 was a Monday.
  EXPECT_THAT(
      kept(times({"1970-01-04T00:00:00Z", "1969-12-29T00:00:00Z", "1969-12-28T00:00:00Z", "1969-12-22T00:00:00Z"}),
           rule),
      ElementsAre("1970-01-04T00:00:00Z: newest, weekly 1 of 5", "1969-12-28T00:00:00Z: weekly 2 of 5"));
}

TEST(Retention, KeepsTheNewestOfEachMonthAndYear) {
  RetentionRule rule = kNothing;
  rule.monthly = 2;
  rule.yearly = 2;
  EXPECT_THAT(
      kept(times({"2026-03-01T00:00:00Z", "2026-02-28T00:00:00Z", "2026-02-01T00:00:00Z", "2026-01-31T00:00:00Z",
                  "2025-12-31T23:59:59Z", "2025-03-01T00:00:00Z", "2024-12-31T00:00:00Z"}),
           rule),
      ElementsAre("2026-03-01T00:00:00Z: newest, monthly 1 of 2, yearly 1 of 2", "2026-02-28T00:00:00Z: monthly 2 of 2",
                  "2025-12-31T23:59:59Z: yearly 2 of 2"));
}

TEST(Retention, TellsTheSameMonthOfTwoYearsApart) {
  RetentionRule rule = kNothing;
  rule.monthly = 3;
  EXPECT_THAT(kept(times({"2026-03-01T00:00:00Z", "2025-03-01T00:00:00Z", "2024-03-01T00:00:00Z"}), rule).size(), 3U);
}

TEST(Retention, KindsAreIndependentOfEachOther) {
  RetentionRule rule = kNothing;
  rule.last = 1;
  rule.daily = 2;
  rule.yearly = 1;
  EXPECT_THAT(
      kept(times({"2026-01-02T12:00:00Z", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", "2025-12-31T00:00:00Z"}),
           rule),
      ElementsAre("2026-01-02T12:00:00Z: newest, last 1 of 1, daily 1 of 2, yearly 1 of 1",
                  "2026-01-01T00:00:00Z: daily 2 of 2"));
}

// The worked example of config/REFERENCE.md.
TEST(Retention, DoesWhatTheReferenceSays) {
  RetentionRule rule = kNothing;
  rule.last = 2;
  rule.daily = 3;
  EXPECT_THAT(
      kept(times({"2026-11-21T02:00:00Z", "2026-11-21T14:00:00Z", "2026-11-20T02:00:00Z", "2026-11-18T02:00:00Z",
                  "2026-11-17T02:00:00Z"}),
           rule),
      ElementsAre("2026-11-21T14:00:00Z: newest, last 1 of 2, daily 1 of 3", "2026-11-21T02:00:00Z: last 2 of 2",
                  "2026-11-20T02:00:00Z: daily 2 of 3", "2026-11-18T02:00:00Z: daily 3 of 3"));
}

TEST(Retention, DaysAreThoseOfThePolicysZone) {
  RetentionRule rule = kNothing;
  rule.daily = 5;
  const auto points = times({"2026-07-01T21:59:59Z", "2026-07-01T22:00:00Z"});  // midnight in Stockholm lies between
  EXPECT_EQ(kept(points, rule).size(), 1U);
  EXPECT_EQ(kept(points, rule, "Europe/Stockholm").size(), 2U);
}

TEST(Retention, TheHourThatIsRepeatedIsTwoHours) {
  RetentionRule rule = kNothing;
  rule.hourly = 5;
  // Both are 02:30 in Stockholm.
  EXPECT_EQ(kept(times({"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"}), rule, "Europe/Stockholm").size(), 2U);
}

TEST(Retention, RefusesAnUnknownZone) {
  const auto verdicts = apply_retention({}, RetentionRule{}, "Mars/Olympus");
  ASSERT_FALSE(verdicts);
  EXPECT_EQ(verdicts.error().code, ErrorCode::settings_invalid);
}

TEST(Retention, TheDefaultKeepsThirtyDays) {
  std::vector<UtcTime> points;
  for (int day = 0; day < 100; ++day) points.push_back(at("2026-01-01T02:00:00Z") + std::chrono::days{day});
  EXPECT_EQ(kept(points, RetentionRule{}).size(), 30U);
}

// What makes pruning safe: pruning at every step keeps what one pruning at the end would keep.
TEST(Retention, PruningEveryDayKeepsTheSamePoints) {
  const unsigned seed = 20261121;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const RetentionRule rule{.last = 3, .hourly = 0, .daily = 7, .weekly = 4, .monthly = 6, .yearly = 2};
  std::vector<UtcTime> all;
  std::vector<UtcTime> pruned;
  UtcTime now = at("2024-01-01T00:00:00Z");
  for (int i = 0; i < 900; ++i) {
    now += std::chrono::seconds{std::uniform_int_distribution<int>(600, 2 * 86400)(random)};
    all.push_back(now);
    pruned.push_back(now);
    std::vector<UtcTime> left;
    const auto verdicts = apply_retention(pruned, rule, "Europe/Stockholm");
    ASSERT_TRUE(verdicts);
    for (const RetentionVerdict& verdict : *verdicts)
      if (verdict.keep) left.push_back(verdict.time);
    pruned = left;
  }
  EXPECT_EQ(kept(pruned, rule, "Europe/Stockholm"), kept(all, rule, "Europe/Stockholm"));
}

}  // namespace
}  // namespace cairn
