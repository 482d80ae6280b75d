// SPDX-License-Identifier: GPL-3.0-or-later
// Cron expressions: the five fields of crontab(5) as sets, and the next local time that is in them. Grammar:
// config/REFERENCE.md "Schedules". Knows nothing of time zones; pure. Any thread.
#pragma once

#include <bitset>
#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace cairn {

struct CronFields {
  std::bitset<60> minutes;
  std::bitset<24> hours;
  std::bitset<32> days;     // 1-31
  std::bitset<13> months;   // 1-12
  std::bitset<7> weekdays;  // 0 is Sunday
  bool any_day = true;      // the day field starts with "*": crontab(5)'s rule for day and weekday together
  bool any_weekday = true;
};

// What is wrong with a text, as two halves of "found ..., expected ...".
struct TextProblem {
  std::string found;
  std::string expected;
};

// Five fields, or a name such as "@daily".
std::expected<CronFields, TextProblem> parse_cron(std::string_view text);

// The first full minute at or after `from` and before `limit` that the fields name; nothing when there is none.
// Steps over months and days, never over minutes: ten years cost microseconds.
std::optional<std::chrono::local_seconds> next_local_time(const CronFields& fields, std::chrono::local_seconds from,
                                                          std::chrono::local_seconds limit);

}  // namespace cairn
