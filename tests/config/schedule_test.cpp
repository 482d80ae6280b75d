// SPDX-License-Identifier: GPL-3.0-or-later
// Schedules: the grammar, and runs through years, leap days and daylight saving.
#include "config/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <map>
#include <set>

namespace cairn {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kStockholm = "Europe/Stockholm";

UtcTime at(std::string_view text) {
  const auto time = parse_iso_time(text);
  EXPECT_TRUE(time) << text;
  return time.value_or(UtcTime{});
}

Schedule schedule(std::string_view text, std::string_view zone = "UTC") {
  auto parsed = Schedule::parse(text, zone);
  EXPECT_TRUE(parsed) << text << ": " << (parsed ? "" : parsed.error().message());
  return parsed ? *parsed : Schedule();
}

// The runs after `from`, up to and including `to`.
std::vector<UtcTime> runs(const Schedule& schedule, UtcTime from, UtcTime to) {
  std::vector<UtcTime> result;
  for (auto next = schedule.next_after(from); next && *next <= to; next = schedule.next_after(*next)) {
    EXPECT_GT(*next, from);
    from = *next;
    result.push_back(*next);
  }
  return result;
}

std::vector<std::string> run_texts(std::string_view text, std::string_view zone, std::string_view from,
                                   std::string_view to) {
  std::vector<std::string> result;
  for (const UtcTime time : runs(schedule(text, zone), at(from), at(to))) result.push_back(iso_time(time));
  return result;
}

std::string next(std::string_view text, std::string_view after, std::string_view zone = "UTC") {
  const auto time = schedule(text, zone).next_after(at(after));
  return time ? iso_time(*time) : "never";
}

std::string refusal(std::string_view text) {
  const auto parsed = Schedule::parse(text, "UTC");
  if (parsed) return "accepted";
  EXPECT_EQ(parsed.error().code, ErrorCode::settings_invalid);
  return parsed.error().because;
}

TEST(Schedule, RunsStrictlyAfterTheTime) {
  EXPECT_EQ(next("0 2 * * *", "2026-11-21T01:59:59Z"), "2026-11-21T02:00:00Z");
  EXPECT_EQ(next("0 2 * * *", "2026-11-21T02:00:00Z"), "2026-11-22T02:00:00Z");
  EXPECT_EQ(next("* * * * *", "2026-11-21T02:00:00Z"), "2026-11-21T02:01:00Z");
  EXPECT_EQ(next("* * * * *", "2026-11-21T02:00:01Z"), "2026-11-21T02:01:00Z");
}

TEST(Schedule, TakesListsRangesAndSteps) {
  EXPECT_THAT(
      run_texts("0,30 8-9 * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T23:59:00Z"),
      ElementsAre("2026-01-01T08:00:00Z", "2026-01-01T08:30:00Z", "2026-01-01T09:00:00Z", "2026-01-01T09:30:00Z"));
  EXPECT_THAT(run_texts("5 */8 * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T23:59:00Z"),
              ElementsAre("2026-01-01T00:05:00Z", "2026-01-01T08:05:00Z", "2026-01-01T16:05:00Z"));
  EXPECT_THAT(run_texts("10-50/20 1 * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T23:59:00Z"),
              ElementsAre("2026-01-01T01:10:00Z", "2026-01-01T01:30:00Z", "2026-01-01T01:50:00Z"));
  EXPECT_THAT(
      run_texts("0 0-6/3,12 * * *", "UTC", "2025-12-31T23:59:00Z", "2026-01-01T23:59:00Z"),
      ElementsAre("2026-01-01T00:00:00Z", "2026-01-01T03:00:00Z", "2026-01-01T06:00:00Z", "2026-01-01T12:00:00Z"));
}

TEST(Schedule, TakesNamesInAnyCase) {
  EXPECT_EQ(next("0 0 1 JAN *", "2026-11-21T00:00:00Z"), "2027-01-01T00:00:00Z");
  EXPECT_EQ(next("0 0 1 feb,Apr *", "2026-02-21T00:00:00Z"), "2026-04-01T00:00:00Z");
  EXPECT_EQ(next("0 0 * * Mon", "2026-11-21T00:00:00Z"), "2026-11-23T00:00:00Z");
  EXPECT_THAT(run_texts("0 0 * * tue-THU", "UTC", "2026-11-21T00:00:00Z", "2026-11-30T00:00:00Z"),
              ElementsAre("2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"));
}

TEST(Schedule, BothNoughtAndSevenAreSunday) {
  for (const char* text : {"0 0 * * 0", "0 0 * * 7", "0 0 * * sun"})
    EXPECT_EQ(next(text, "2026-11-21T00:00:00Z"), "2026-11-22T00:00:00Z") << text;
  for (const char* text : {"0 0 * * 5-7", "0 0 * * fri-sun"})
    EXPECT_THAT(run_texts(text, "UTC", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
                ElementsAre("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"))
        << text;
  EXPECT_THAT(run_texts("0 0 * * sun-tue", "UTC", "2026-11-19T00:00:00Z", "2026-11-26T00:00:00Z"),
              ElementsAre("2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"));
}

// crontab(5): "If both fields are restricted (i.e., do not contain the "*" character), the command will be run when
// either field matches the current time. For example, "30 4 1,15 * 5" would cause a command to be run at 4:30 am on the
// 1st and 15th of each month, plus every Friday."
TEST(Schedule, EitherDayFieldIsEnoughWhenBothAreRestricted) {
  EXPECT_THAT(run_texts("30 4 1,15 * 5", "UTC", "2026-11-01T00:00:00Z", "2026-11-30T23:59:00Z"),
              ElementsAre("2026-11-01T04:30:00Z", "2026-11-06T04:30:00Z", "2026-11-13T04:30:00Z",
                          "2026-11-15T04:30:00Z", "2026-11-20T04:30:00Z", "2026-11-27T04:30:00Z"));
}

TEST(Schedule, BothDayFieldsCountWhenOneBeginsWithAStar) {
  // The 13th, when it is one of Sunday, Tuesday, Thursday, Saturday.
  EXPECT_THAT(run_texts("0 0 13 * */2", "UTC", "2026-01-01T00:00:00Z", "2026-06-30T00:00:00Z"),
              ElementsAre("2026-01-13T00:00:00Z", "2026-06-13T00:00:00Z"));
}

TEST(Schedule, NamedOnesAreWhatCrontabSays) {
  const struct {
    const char* name;
    const char* fields;
  } kSame[] = {{"@hourly", "0 * * * *"},   {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
               {"@weekly", "0 0 * * 0"},   {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
               {"@annually", "0 0 1 1 *"}, {"@Daily", "0 0 * * *"}};
  for (const auto& [name, fields] : kSame) {
    UtcTime time = at("2026-11-21T12:34:56Z");
    for (int i = 0; i < 50; ++i) {
      const auto by_name = schedule(name, kStockholm).next_after(time);
      ASSERT_TRUE(by_name);
      EXPECT_EQ(by_name, schedule(fields, kStockholm).next_after(time)) << name;
      time = *by_name;
    }
  }
}

TEST(Schedule, KnowsLeapYears) {
  EXPECT_EQ(next("0 0 29 2 *", "2026-01-01T00:00:00Z"), "2028-02-29T00:00:00Z");
  EXPECT_EQ(next("0 0 29 2 *", "2028-02-29T00:00:00Z"), "2032-02-29T00:00:00Z");
  EXPECT_EQ(next("0 0 29 2 *", "2096-02-29T00:00:00Z"), "2104-02-29T00:00:00Z");  // 2100 is none
  EXPECT_EQ(next("0 0 31 * *", "2026-01-31T00:00:00Z"), "2026-03-31T00:00:00Z");
  // 29 February on one of Sunday, Wednesday, Saturday.
  EXPECT_EQ(next("0 0 29 2 */3", "2026-01-01T00:00:00Z"), "2032-02-29T00:00:00Z");
}

TEST(Schedule, RefusesADayThatNeverComes) {
  for (const char* text : {"0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 feb *"})
    EXPECT_THAT(refusal(text), HasSubstr("never comes")) << text;
  EXPECT_EQ(refusal("0 0 30 2 5"), "accepted");  // the weekday is enough
}

TEST(Schedule, SaysWhichFieldIsWrongAndWhatItMayHold) {
  EXPECT_EQ(refusal("60 * * * *"), "found minute \"60\", expected 0 to 59");
  EXPECT_EQ(refusal("0 24 * * *"), "found hour \"24\", expected 0 to 23");
  EXPECT_EQ(refusal("0 0 0 * *"), "found day of the month \"0\", expected 1 to 31");
  EXPECT_EQ(refusal("0 0 1 13 *"), "found month \"13\", expected 1 to 12 or jan to dec");
  EXPECT_EQ(refusal("0 0 1 mai *"), "found month \"mai\", expected 1 to 12 or jan to dec");
  EXPECT_EQ(refusal("0 0 * * 8"), "found day of the week \"8\", expected 0 to 7 (0 and 7 are Sunday) or sun to sat");
  EXPECT_THAT(refusal("0 22-2 * * *"), HasSubstr("22-23,0-2"));
  EXPECT_THAT(refusal("0/5 * * * *"), HasSubstr("a step of a range"));
  EXPECT_THAT(refusal("*/90 * * * *"), HasSubstr("\"every 90m\""));
  EXPECT_THAT(refusal("*/0 * * * *"), HasSubstr("a step of 1 to 60"));
  EXPECT_THAT(refusal("0 2 * *"), HasSubstr("five fields"));
  EXPECT_THAT(refusal("0 0 2 * * *"), HasSubstr("there are 6 here"));
  EXPECT_THAT(refusal("@dayly"), HasSubstr("did you mean \"@daily\""));
  EXPECT_THAT(refusal("@reboot"), HasSubstr("@hourly, @daily"));
}

// What stands behind `words` in a hint, up to a blank, a bracket or a comma that ends it.
std::vector<std::string> proposals(const std::string& hint, const std::vector<std::string>& words) {
  std::vector<std::string> found;
  for (const std::string& word : words) {
    const std::size_t at = hint.find(word);
    if (at == std::string::npos) continue;
    const std::string rest = hint.substr(at + word.size());
    found.push_back(rest.substr(0, rest.find_first_of(" );")));
  }
  return found;
}

TEST(Schedule, EveryHintIsItselfTaken) {
  const auto with = [](std::size_t field, const std::string& item) {
    std::string text;
    for (std::size_t i = 0; i < 5; ++i) text += (i == 0 ? "" : " ") + (i == field ? item : std::string("*"));
    return parse_cron(text);
  };
  std::size_t hints = 0;
  for (std::size_t field = 0; field < 5; ++field)
    for (unsigned from = 0; from <= 60; ++from)
      for (unsigned to = 0; to <= 60; ++to)
        for (const char* sign : {"-", "/"}) {
          const std::string item = std::to_string(from) + sign + std::to_string(to);
          const auto fields = with(field, item);
          if (fields) continue;
          for (const std::string& proposal :
               proposals(fields.error().expected,
                         {"is written ", "such as ", "a step of a range, such as */" + std::to_string(to) + " or "})) {
            ++hints;
            EXPECT_TRUE(with(field, proposal)) << item << " in field " << field << ": " << fields.error().expected;
          }
        }
  EXPECT_GT(hints, 1000U);
}

TEST(Schedule, ARangeFromSundayOnIsWrittenWithNought) {
  const auto fields = parse_cron("0 2 * * 7-1");
  ASSERT_FALSE(fields);
  EXPECT_THAT(fields.error().expected, ::testing::HasSubstr("is written 0-1"));
  EXPECT_TRUE(parse_cron("0 2 * * 0-1"));
}

TEST(Schedule, RefusesWhatIsNoSchedule) {
  for (const char* text : {"",
                           " ",
                           "daily",
                           "0 2 * * * root",
                           ",",
                           "1,,2 * * * *",
                           "- * * * *",
                           "1- * * * *",
                           "-1 * * * *",
                           "*/ * * * *",
                           "/2 * * * *",
                           "** * * * *",
                           "1.5 * * * *",
                           "0x1 * * * *",
                           "* * * * mon-",
                           "+1 * * * *",
                           "99999999999999999999 * * * *",
                           "*/99999999999999999999 * * * *",
                           "0 2 * * \xff",
                           "@",
                           "@ daily"})
    EXPECT_NE(refusal(text), "accepted") << text;
}

TEST(Schedule, IntervalsCountFromTheEpoch) {
  EXPECT_EQ(next("every 6h", "2026-11-21T05:59:59Z"), "2026-11-21T06:00:00Z");
  EXPECT_EQ(next("every 6h", "2026-11-21T06:00:00Z"), "2026-11-21T12:00:00Z");
  EXPECT_EQ(next("Every 15 m", "2026-11-21T06:01:00Z"), "2026-11-21T06:15:00Z");
  EXPECT_EQ(next("every 1d", "2026-11-21T06:01:00Z"), "2026-11-22T00:00:00Z");
  EXPECT_EQ(next("every 1w", "2026-11-21T00:00:00Z"), "2026-11-26T00:00:00Z");  // a Thursday, as 1970-01-01 was
  EXPECT_EQ(next("every 6h", "1969-12-31T23:59:59Z"), "1970-01-01T00:00:00Z");
  EXPECT_EQ(next("every 6h", "1969-12-31T18:00:00Z"), "1970-01-01T00:00:00Z");
}

TEST(Schedule, IntervalsTakeNoNoticeOfTheZone) {
  EXPECT_EQ(next("every 6h", "2026-03-29T00:00:00Z", kStockholm), "2026-03-29T06:00:00Z");
  EXPECT_EQ(schedule("every 6h", kStockholm).zone(), kStockholm);
}

TEST(Schedule, RefusesIntervalsThatAreNone) {
  for (const char* text :
       {"every", "every ", "every 6", "every h", "every 30s", "every 0m", "every -1h", "every 1y", "every 6h 5m",
        "every 367d", "every 99999999999999999999h", "every 153722867280912931h", "everyday"})
    EXPECT_NE(refusal(text), "accepted") << text;
  EXPECT_EQ(refusal("every 1m"), "accepted");
  EXPECT_EQ(refusal("every 366d"), "accepted");
}

TEST(Schedule, RunsOnceWhenTheHourIsSkipped) {
  // 2026-03-29 in Stockholm: 02:00 becomes 03:00, at 01:00 UTC.
  for (const char* text : {"0 2 * * *", "30 2 * * *", "*/10 2 * * *", "* 2 * * *"})
    EXPECT_THAT(run_texts(text, kStockholm, "2026-03-29T00:00:00Z", "2026-03-29T22:00:00Z"),
                ElementsAre("2026-03-29T01:00:00Z"))
        << text;
  // A time after the gap that falls on the same instant is the same run.
  EXPECT_THAT(
      run_texts("30 1-4 * * *", kStockholm, "2026-03-28T23:00:00Z", "2026-03-29T03:00:00Z"),
      ElementsAre("2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"));
  EXPECT_THAT(run_texts("0 2,3 * * *", kStockholm, "2026-03-28T23:00:00Z", "2026-03-29T12:00:00Z"),
              ElementsAre("2026-03-29T01:00:00Z"));
}

TEST(Schedule, RunsOnceWhenTheHourIsRepeated) {
  // 2026-10-25 in Stockholm: 03:00 becomes 02:00, at 01:00 UTC.
  EXPECT_THAT(run_texts("0 2 * * *", kStockholm, "2026-10-24T22:00:00Z", "2026-10-25T22:00:00Z"),
              ElementsAre("2026-10-25T00:00:00Z"));
  EXPECT_THAT(run_texts("30 2 * * *", kStockholm, "2026-10-24T22:00:00Z", "2026-10-25T22:00:00Z"),
              ElementsAre("2026-10-25T00:30:00Z"));
  EXPECT_THAT(
      run_texts("30 1-4 * * *", kStockholm, "2026-10-24T22:00:00Z", "2026-10-25T22:00:00Z"),
      ElementsAre("2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z", "2026-10-25T03:30:00Z"));
}

TEST(Schedule, AskedInsideTheRepeatedHourDoesNotRunAgain) {
  // 01:15 UTC is the second 02:15 of that night; the run of 02:30 was at 00:30 UTC.
  EXPECT_EQ(next("30 2 * * *", "2026-10-25T01:15:00Z", kStockholm), "2026-10-26T01:30:00Z");
  EXPECT_EQ(next("30 2 * * *", "2026-10-25T00:15:00Z", kStockholm), "2026-10-25T00:30:00Z");
}

TEST(Schedule, WholeYearInStockholmRunsOncePerDay) {
  for (const auto& [text, minute] : {std::pair{"0 2 * * *", 0}, std::pair{"30 2 * * *", 30}}) {
    SCOPED_TRACE(text);
    const auto year = runs(schedule(text, kStockholm), at("2025-12-31T23:00:00Z"), at("2026-12-31T22:59:59Z"));
    ASSERT_EQ(year.size(), 365U);
    for (std::size_t day = 0; day < year.size(); ++day) {
      const auto date = std::chrono::sys_days{std::chrono::year{2026} / 1 / 1} + days{day};
      // Central European Time, and summer time from the last Sunday of March to the last of October (Directive
      // 2000/84/EC).
      const bool is_summer = date > at("2026-03-29T00:00:00Z") && date <= at("2026-10-25T00:00:00Z");
      UtcTime expected = date + hours{is_summer ? 0 : 1} + minutes{minute};
      if (date == at("2026-03-29T00:00:00Z")) expected = at("2026-03-29T01:00:00Z");
      EXPECT_EQ(iso_time(year[day]), iso_time(expected));
    }
  }
}

TEST(Schedule, EveryHourAndEveryQuarterFollowRealTimeThroughTheYear) {
  for (const auto& [text, interval] : {std::pair{"*/15 * * * *", seconds{900}}, std::pair{"@hourly", seconds{3600}}}) {
    SCOPED_TRACE(text);
    const Schedule every = schedule(text, kStockholm);
    UtcTime time = at("2026-01-01T00:00:00Z");
    while (time < at("2027-01-01T00:00:00Z")) {
      const auto following = every.next_after(time);
      ASSERT_TRUE(following);
      ASSERT_EQ(*following - time, interval) << iso_time(time);
      time = *following;
    }
  }
}

constexpr const char* kYearBegin = "2026-01-01T00:00:00Z";
constexpr const char* kYearEnd = "2027-01-02T00:00:00Z";

// What the wall clock shows at every minute of the year, by the C library.
const std::vector<std::int64_t>& local_times(const std::string& zone) {
  static std::map<std::string, std::vector<std::int64_t>> cache;
  auto& result = cache[zone];
  if (!result.empty()) return result;
  const char* const old = std::getenv("TZ");
  const std::string saved = old != nullptr ? old : "";
  ::setenv("TZ", (":" + zone).c_str(), 1);
  ::tzset();
  std::int64_t offset = 0;
  for (UtcTime time = at(kYearBegin); time <= at(kYearEnd); time += minutes{1}) {
    const std::time_t now = time.time_since_epoch().count();
    if (now % 900 == 0) {  // clocks are changed at full quarters; asking each minute takes seconds
      std::tm tm{};
      ::localtime_r(&now, &tm);
      offset = tm.tm_gmtoff;
    }
    result.push_back(now + offset);
  }
  if (old != nullptr)
    ::setenv("TZ", saved.c_str(), 1);
  else
    ::unsetenv("TZ");
  ::tzset();
  return result;
}

bool names(const CronFields& fields, std::int64_t local) {
  if (!fields.minutes[static_cast<std::size_t>(local / 60 % 60)]) return false;
  const std::time_t as_utc = local;
  std::tm tm{};
  ::gmtime_r(&as_utc, &tm);
  const bool day = fields.days[tm.tm_mday];
  const bool weekday = fields.weekdays[tm.tm_wday];
  return fields.hours[tm.tm_hour] && fields.months[tm.tm_mon + 1] &&
         (fields.any_day || fields.any_weekday ? day && weekday : day || weekday);
}

class ScheduleOracle : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

// The rule in words, tried on every minute of a year.
TEST_P(ScheduleOracle, AgreesForAWholeYear) {
  const auto& [zone, text] = GetParam();
  const auto fields = parse_cron(text);
  ASSERT_TRUE(fields);
  std::set<UtcTime> expected;
  UtcTime time = at(kYearBegin) - minutes{1};
  std::int64_t newest_local = 0;
  for (const std::int64_t local : local_times(zone)) {
    time += minutes{1};
    if (fields->hours.all()) {
      if (names(*fields, local)) expected.insert(time);
      continue;
    }
    for (std::int64_t skipped = newest_local + 60; newest_local != 0 && skipped < local; skipped += 60)
      if (names(*fields, skipped)) expected.insert(time);
    if (local > newest_local && names(*fields, local)) expected.insert(time);
    newest_local = std::max(newest_local, local);
  }
  expected.erase(at(kYearBegin));
  const auto actual = runs(schedule(text, zone), at(kYearBegin), at(kYearEnd));
  EXPECT_EQ(std::vector<UtcTime>(expected.begin(), expected.end()), actual);
}

INSTANTIATE_TEST_SUITE_P(ZonesAndSchedules, ScheduleOracle,
                         testing::Combine(testing::Values("UTC", "Europe/Stockholm", "America/New_York",
                                                          "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago",
                                                          "Africa/Casablanca", "Africa/Cairo"),
                                          testing::Values("0 2 * * *", "*/7 0-3 * * *", "30 * * * *",
                                                          "15,45 1-23/2 1-7 * mon", "0 0 29 2 *", "0 0 * * *")));

TEST(Schedule, RunsOnceWhenAWholeDayIsSkipped) {
  // Samoa left out 2011-12-30 when it crossed the date line.
  EXPECT_THAT(
      run_texts("0 9 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", "2012-01-01T12:00:00Z"),
      ElementsAre("2011-12-29T19:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T19:00:00Z", "2011-12-31T19:00:00Z"));
}

TEST(Schedule, IsDailyInTheHostsZoneByDefault) {
  const Schedule by_default;
  EXPECT_EQ(by_default.text(), "@daily");
  EXPECT_FALSE(by_default.zone().empty());
  const UtcTime time = at("2026-11-21T12:00:00Z");
  EXPECT_EQ(by_default.next_after(time), schedule("0 0 * * *", by_default.zone()).next_after(time));
}

TEST(TimeZone, SuggestsTheNameThatWasMeant) {
  const auto message = [](std::string_view name) {
    const auto zone = TimeZone::find(name);
    return zone ? std::string("found") : zone.error().message();
  };
  EXPECT_THAT(message("europe/stockholm"), HasSubstr("did you mean \"Europe/Stockholm\""));
  EXPECT_THAT(message("Stockholm"), HasSubstr("did you mean \"Europe/Stockholm\""));
  EXPECT_THAT(message("Europe/Stokholm"), HasSubstr("did you mean \"Europe/Stockholm\""));
  EXPECT_THAT(message("new york"), HasSubstr("did you mean \"America/New_York\""));
  EXPECT_EQ(message("Europe/Stockholm"), "found");
}

TEST(TimeZone, RefusesNamesThatWouldLeaveTheDataDirectory) {
  for (const char* name : {"", "../../../etc/passwd", "/etc/localtime", "Europe", "Europe/", "tzdata.zi", "\xff"})
    EXPECT_FALSE(TimeZone::find(name)) << name;
}

TEST(TimeZone, HostsZoneFollowsTheEnvironment) {
  const char* const old = std::getenv("TZ");
  const std::string saved = old != nullptr ? old : "";
  ::setenv("TZ", ":Asia/Tokyo", 1);
  EXPECT_EQ(TimeZone::host().name(), "Asia/Tokyo");
  ::setenv("TZ", "JST-9", 1);  // POSIX rules have no IANA name: what the system says counts
  EXPECT_FALSE(TimeZone::host().name().empty());
  if (old != nullptr)
    ::setenv("TZ", saved.c_str(), 1);
  else
    ::unsetenv("TZ");
}

}  // namespace
}  // namespace cairn
