// SPDX-License-Identifier: GPL-3.0-or-later
// Retention. Points are walked from the newest; the first point met in a period is the newest of it and is kept while
// the rule still has room for another period of that kind.
#include "config/retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "config/time_zone.h"

namespace cairn {
namespace {

using std::chrono::days;
using PeriodKey = std::pair<std::int64_t, std::int64_t>;

struct PeriodKind {
  std::string_view name;
  unsigned limit;
  PeriodKey (*key)(LocalTime local, std::chrono::seconds offset);
  std::set<PeriodKey> seen = {};
};

std::int64_t day_number(LocalTime local) {
  return std::chrono::floor<days>(local).time_since_epoch().count();
}

std::chrono::year_month_day date_of(LocalTime local) {
  return std::chrono::year_month_day{std::chrono::floor<days>(local)};
}

// An hour that daylight saving repeats is two hours, which differ in their distance from UTC.
PeriodKey hour_of(LocalTime local, std::chrono::seconds offset) {
  return {std::chrono::floor<std::chrono::hours>(local).time_since_epoch().count(), offset.count()};
}
PeriodKey day_of(LocalTime local, std::chrono::seconds) {
  return {day_number(local), 0};
}
// ISO weeks begin on Monday; 1970-01-01 was a Thursday.
PeriodKey week_of(LocalTime local, std::chrono::seconds) {
  const std::int64_t since_a_monday = day_number(local) + 3;
  return {since_a_monday >= 0 ? since_a_monday / 7 : (since_a_monday - 6) / 7, 0};
}
PeriodKey month_of(LocalTime local, std::chrono::seconds) {
  const auto date = date_of(local);
  return {static_cast<int>(date.year()), static_cast<unsigned>(date.month())};
}
PeriodKey year_of(LocalTime local, std::chrono::seconds) {
  return {static_cast<int>(date_of(local).year()), 0};
}

}  // namespace

Result<std::vector<RetentionVerdict>> apply_retention(std::span<const UtcTime> points, const RetentionRule& rule,
                                                      std::string_view zone_name) {
  TimeZone zone;
  if (!zone_name.empty()) {
    CAIRN_TRY(zone, TimeZone::find(zone_name));
  }
  std::vector<UtcTime> times(points.begin(), points.end());
  std::ranges::sort(times, std::greater{});

  PeriodKind kinds[] = {{"hourly", rule.hourly, hour_of},
                        {"daily", rule.daily, day_of},
                        {"weekly", rule.weekly, week_of},
                        {"monthly", rule.monthly, month_of},
                        {"yearly", rule.yearly, year_of}};
  std::vector<RetentionVerdict> verdicts;
  verdicts.reserve(times.size());
  for (const UtcTime time : times) {
    RetentionVerdict& verdict = verdicts.emplace_back();
    verdict.time = time;
    const std::size_t number = verdicts.size();  // from 1
    if (number == 1) verdict.reasons.emplace_back("newest");
    if (number <= rule.last) verdict.reasons.push_back(fmt::format("last {} of {}", number, rule.last));
    const std::chrono::seconds offset = zone.period_at(time).offset;
    const LocalTime local{time.time_since_epoch() + offset};
    for (PeriodKind& kind : kinds) {
      if (kind.seen.size() >= kind.limit) continue;
      if (!kind.seen.insert(kind.key(local, offset)).second) continue;
      verdict.reasons.push_back(fmt::format("{} {} of {}", kind.name, kind.seen.size(), kind.limit));
    }
    verdict.keep = !verdict.reasons.empty();
  }
  return verdicts;
}

}  // namespace cairn
