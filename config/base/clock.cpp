// SPDX-License-Identifier: GPL-3.0-or-later
#include "config/base/clock.h"

#include <fmt/format.h>

namespace cairn {
namespace {

class SystemClock final : public Clock {
 public:
  [[nodiscard]] UtcTime now() const override {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  }
};

struct CivilTime {
  int year, hour, minute, second;
  unsigned month, day;
};

CivilTime to_civil(UtcTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return {static_cast<int>(date.year()),
          static_cast<int>(clock.hours().count()),
          static_cast<int>(clock.minutes().count()),
          static_cast<int>(clock.seconds().count()),
          static_cast<unsigned>(date.month()),
          static_cast<unsigned>(date.day())};
}

// `pattern`: 'd' stands for a digit, everything else for itself. The digits are year, month, day, hour, minute, second.
std::optional<UtcTime> parse_pattern(std::string_view text, std::string_view pattern) {
  if (text.size() != pattern.size()) return std::nullopt;
  static constexpr int kWidths[] = {4, 2, 2, 2, 2, 2};
  int values[6] = {};
  int field = 0;
  int digits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (pattern[i] != 'd') {
      if (text[i] != pattern[i]) return std::nullopt;
      continue;
    }
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    values[field] = values[field] * 10 + (text[i] - '0');
    if (++digits == kWidths[field]) {
      ++field;
      digits = 0;
    }
  }
  const std::chrono::year_month_day date{std::chrono::year{values[0]},
                                         std::chrono::month{static_cast<unsigned>(values[1])},
                                         std::chrono::day{static_cast<unsigned>(values[2])}};
  if (!date.ok() || values[3] > 23 || values[4] > 59 || values[5] > 59) return std::nullopt;
  return std::chrono::sys_days{date} + std::chrono::hours{values[3]} + std::chrono::minutes{values[4]} +
         std::chrono::seconds{values[5]};
}

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

std::string compact_time(UtcTime time) {
  const CivilTime t = to_civil(time);
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", t.year, t.month, t.day, t.hour, t.minute, t.second);
}

std::optional<UtcTime> parse_compact_time(std::string_view text) {
  return parse_pattern(text, "ddddddddTddddddZ");
}

std::string iso_time(UtcTime time) {
  const CivilTime t = to_civil(time);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", t.year, t.month, t.day, t.hour, t.minute, t.second);
}

std::optional<UtcTime> parse_iso_time(std::string_view text) {
  return parse_pattern(text, "dddd-dd-ddTdd:dd:ddZ");
}

}  // namespace cairn
