// SPDX-License-Identifier: GPL-3.0-or-later
// Schedules: cron fields and intervals laid over a time zone.
#include "config/schedule.h"

#include <fmt/format.h>

#include <charconv>

namespace cairn {
namespace {

using std::chrono::seconds;

// Leap days and weekdays repeat within 40 years even over a century that is no leap year.
constexpr std::chrono::days kHorizon = std::chrono::days{40 * 366};
constexpr seconds kShortestInterval = std::chrono::minutes{1};
constexpr seconds kLongestInterval = std::chrono::days{366};

bool starts_with_every(std::string_view text) {
  static constexpr std::string_view kEvery = "every";
  if (text.size() < kEvery.size()) return false;
  for (std::size_t i = 0; i < kEvery.size(); ++i)
    if ((text[i] | 0x20) != kEvery[i]) return false;
  return text.size() == kEvery.size() || text[kEvery.size()] == ' ';
}

std::expected<seconds, TextProblem> parse_interval(std::string_view text) {
  std::string_view rest = text.substr(std::string_view("every").size());
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  std::int64_t count = 0;
  const char* const end = rest.data() + rest.size();
  const auto [after, problem] = std::from_chars(rest.data(), end, count);
  std::string_view unit_name(after, static_cast<std::size_t>(end - after));
  if (unit_name.starts_with(' ')) unit_name.remove_prefix(1);
  const std::int64_t unit = unit_name == "m"   ? 60
                            : unit_name == "h" ? 3600
                            : unit_name == "d" ? 86400
                            : unit_name == "w" ? 7 * 86400
                                               : 0;
  const std::int64_t longest = unit == 0 ? 0 : kLongestInterval.count() / unit;
  if (problem != std::errc{} || count < 1 || count > longest)
    return std::unexpected(TextProblem{fmt::format("\"{}\"", text),
                                       "\"every\" and a number with m, h, d or w: at least 1m, at most 366d"});
  static_assert(kShortestInterval == std::chrono::minutes{1}, "the smallest unit is the shortest interval");
  return seconds{count * unit};
}

std::optional<UtcTime> next_interval(seconds interval, UtcTime time) {
  // Rounds down before 1970 too.
  const auto whole = std::chrono::floor<seconds>(time).time_since_epoch();
  auto quotient = whole / interval;
  if (whole < quotient * interval) --quotient;
  return UtcTime{(quotient + 1) * interval};
}

// Fixed hours: each local time has one instant, and later local times never have earlier instants.
std::optional<UtcTime> next_fixed(const CronFields& fields, const TimeZone& zone, UtcTime time) {
  const LocalTime start = zone.to_local(time);
  const LocalTime limit = start + kHorizon;
  LocalTime from = std::chrono::floor<std::chrono::minutes>(start);
  // Local times that were repeated, or all fell into one gap, have instants that are not after `time`: go on.
  while (const auto local = next_local_time(fields, from, limit)) {
    const UtcTime instant = zone.first_instant_of(*local);
    if (instant > time) return instant;
    from = *local + seconds{1};
  }
  return std::nullopt;
}

// Every hour: whatever the wall clock shows counts, as often as it shows it.
std::optional<UtcTime> next_by_real_time(const CronFields& fields, const TimeZone& zone, UtcTime time) {
  const UtcTime horizon = time + kHorizon;
  for (UtcTime from = time + seconds{1}; from < horizon;) {
    const TimeZone::Period period = zone.period_at(from);
    const UtcTime end = std::min(period.end, horizon);
    const LocalTime first{from.time_since_epoch() + period.offset};
    const LocalTime limit{end.time_since_epoch() + period.offset};
    if (const auto local = next_local_time(fields, first, limit))
      return UtcTime{local->time_since_epoch() - period.offset};
    from = end;
  }
  return std::nullopt;
}

}  // namespace

Schedule::Schedule() : zone_(TimeZone::host()), rule_(*parse_cron("@daily")) {}

std::expected<Schedule, TextProblem> Schedule::parse_in(std::string_view text, const TimeZone& zone) {
  Schedule schedule;
  schedule.text_ = text;
  schedule.zone_ = zone;
  if (starts_with_every(text)) {
    auto interval = parse_interval(text);
    if (!interval) return std::unexpected(std::move(interval).error());
    schedule.rule_ = *interval;
    return schedule;
  }
  auto fields = parse_cron(text);
  if (!fields) return std::unexpected(std::move(fields).error());
  const LocalTime any_time{};
  if (!next_local_time(*fields, any_time, any_time + kHorizon))
    return std::unexpected(
        TextProblem{fmt::format("\"{}\", which never comes", text), "a day that the named months have"});
  schedule.rule_ = *fields;
  return schedule;
}

Result<Schedule> Schedule::parse(std::string_view text, std::string_view zone_name) {
  TimeZone zone = TimeZone::host();
  if (!zone_name.empty()) {
    CAIRN_TRY(zone, TimeZone::find(zone_name));
  }
  auto schedule = parse_in(text, zone);
  if (!schedule)
    return fail(ErrorCode::settings_invalid, "read schedule", std::string(text),
                fmt::format("found {}, expected {}", schedule.error().found, schedule.error().expected));
  return *std::move(schedule);
}

std::optional<UtcTime> Schedule::next_after(UtcTime time) const {
  if (const auto* interval = std::get_if<seconds>(&rule_)) return next_interval(*interval, time);
  const auto& fields = std::get<CronFields>(rule_);
  return fields.hours.all() ? next_by_real_time(fields, zone_, time) : next_fixed(fields, zone_, time);
}

}  // namespace cairn
