// SPDX-License-Identifier: GPL-3.0-or-later
// Schedules: when a policy runs. Five-field cron (crontab(5)), "@daily" and its like, "every 6h". Grammar and the rule
// for daylight saving: config/REFERENCE.md "Schedules". Pure: takes and returns times. Any thread.
//
// Daylight saving: a local time that is skipped runs once at the first instant after the gap (several of one gap: one
// run); a local time that is repeated runs once, at its first occurrence. Schedules of every hour ("*/15 * * * *")
// follow real time instead: nothing is made up for a gap, and the repeated hour has its runs like any other.
#pragma once

#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/cron.h"
#include "config/time_zone.h"

namespace cairn {

class Schedule {
 public:
  // Daily at midnight, host's zone.
  Schedule();
  // Errors: settings_invalid; `because` says which field and what it may hold. `zone` is an IANA name; empty: the
  // host's.
  static Result<Schedule> parse(std::string_view text, std::string_view zone = {});
  // The same in a zone that is known already, with the problem as two halves for a settings report.
  static std::expected<Schedule, TextProblem> parse_in(std::string_view text, const TimeZone& zone);

  // The first run strictly after `time`. A schedule that never runs ("0 0 30 2 *") is refused by parse; nothing is
  // left for one whose next run is more than 40 years away.
  // "every D" counts from the Unix epoch, so it does not depend on when the daemon started.
  [[nodiscard]] std::optional<UtcTime> next_after(UtcTime time) const;
  [[nodiscard]] const std::string& text() const { return text_; }
  // IANA name, never empty: the host's zone by its name.
  [[nodiscard]] const std::string& zone() const { return zone_.name(); }

 private:
  std::string text_ = "@daily";
  TimeZone zone_;
  std::variant<CronFields, std::chrono::seconds> rule_;
};

}  // namespace cairn
