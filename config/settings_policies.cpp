// SPDX-License-Identifier: GPL-3.0-or-later
// The section policies. Keys, defaults and ranges: config/REFERENCE.md.
#include <fmt/format.h>

#include "config/base/text.h"
#include "config/settings_reader.h"
#include "config/time_zone.h"

namespace cairn {
namespace {

using std::chrono::days;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr unsigned kMostKept = 100'000;
constexpr DurationLimits kJitter = {seconds{0}, days{1} - seconds{1}, "a duration below 1d, such as 10m"};
constexpr DurationLimits kSoftDelete = {days{14}, days{180}, "a duration from 14d to 180d"};
constexpr DurationLimits kImmutable = {minutes{1}, days{36500}, "a duration from 1m to 36500d, such as 30d"};
constexpr DurationLimits kLongestHold = {seconds{1}, minutes{1}, "a duration from 1s to 1m, such as 10s"};
constexpr DurationLimits kFullRead = {minutes{1}, days{3650}, "a duration from 1m to 3650d, such as 30d"};

void read_schedule(MapReader& map, Policy& policy) {
  static constexpr const char* kExpected = "a schedule, such as \"0 2 * * *\", \"@daily\" or \"every 6h\"";
  const auto text = map.text("schedule", kExpected);
  const auto zone_name = map.text("timezone", "an IANA time zone, such as Europe/Stockholm");
  TimeZone zone = TimeZone::host();
  if (zone_name) {
    if (auto named = TimeZone::find(*zone_name)) {
      zone = *named;
    } else {
      const auto nearest = nearest_zone_name(*zone_name);
      map.problem(*map.take("timezone"), in_quotes(*zone_name),
                  "an IANA time zone, such as Europe/Stockholm" +
                      (nearest ? fmt::format("; did you mean \"{}\"?", *nearest) : ""));
    }
  }
  auto schedule = Schedule::parse_in(text.value_or(policy.schedule.text()), zone);
  if (schedule)
    policy.schedule = *std::move(schedule);
  else
    map.problem(*map.take("schedule"), schedule.error().found, schedule.error().expected);
}

// A retention that is written says everything: what it leaves out is 0, not the default.
void read_retention(MapReader& policy_map, Policy& policy) {
  const YamlEntry* entry = policy_map.take("retention");
  if (entry == nullptr) return;
  MapReader map = policy_map.map(*entry);
  RetentionRule rule{.last = 0, .hourly = 0, .daily = 0, .weekly = 0, .monthly = 0, .yearly = 0};
  struct Kind {
    std::string_view key;
    unsigned RetentionRule::* count;
  };
  static constexpr Kind kKinds[] = {{"last", &RetentionRule::last},       {"hourly", &RetentionRule::hourly},
                                    {"daily", &RetentionRule::daily},     {"weekly", &RetentionRule::weekly},
                                    {"monthly", &RetentionRule::monthly}, {"yearly", &RetentionRule::yearly}};
  bool all_zero = map.is_readable();
  for (const Kind& kind : kKinds) {
    const bool given = map.take(kind.key) != nullptr;
    const auto count = map.number(kind.key, 0, kMostKept);
    if (count) rule.*kind.count = *count;
    if (given && count != 0U) all_zero = false;  // a wrong value has its own problem
  }
  if (all_zero)
    policy_map.key_problem(*entry, "a rule that keeps nothing",
                           "at least one of last, hourly, daily, weekly, monthly, yearly above 0");
  map.finish();
  policy.retention = rule;
}

}  // namespace

void SettingsReader::read_policies(MapReader& top) {
  MapReader policies = top.map("policies");
  policy_names_.emplace_back("default");
  settings_.policies["default"].name = "default";
  for (const YamlEntry& entry : policies.named_entries("policy")) {
    if (entry.key != "default") policy_names_.push_back(entry.key);
    MapReader map = policies.map(entry);
    Policy policy = read_policy(map);
    policy.name = entry.key;
    settings_.policies[entry.key] = std::move(policy);
  }
}

Policy SettingsReader::read_policy(MapReader& map) {
  Policy policy;
  read_schedule(map, policy);
  if (const auto jitter = map.duration("jitter", kJitter)) policy.jitter = *jitter;
  read_retention(map, policy);
  static const std::vector<std::string> kOnMissingKeys = {"fail", "warn"};
  if (const auto choice = map.choice("on_missing_keys", kOnMissingKeys))
    policy.on_missing_keys = static_cast<OnMissingKeys>(*choice);
  static const std::vector<std::string> kOnCostlierKeys = {"warn", "fail"};
  if (const auto choice = map.choice("on_costlier_keys", kOnCostlierKeys))
    policy.on_costlier_keys = static_cast<OnCostlierKeys>(*choice);
  static const std::vector<std::string> kConsistency = {"crash", "filesystem", "application"};
  if (const auto choice = map.choice("consistency", kConsistency))
    policy.consistency = static_cast<WantedConsistency>(*choice);
  if (const auto longest = map.duration("longest_hold", kLongestHold)) policy.longest_hold = *longest;
  if (const auto kept = map.duration_or_off("soft_delete", kSoftDelete)) policy.soft_delete = *kept;
  if (const auto kept = map.duration_or_off("immutable", kImmutable)) policy.immutable = *kept;
  if (const auto every = map.duration("full_read", kFullRead)) policy.full_read = *every;
  map.finish();
  return policy;
}

}  // namespace cairn
