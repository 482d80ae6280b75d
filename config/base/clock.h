// SPDX-License-Identifier: GPL-3.0-or-later
// Time: the clock that tests can replace, and times as Cairn writes them. All times are UTC.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace cairn {

using UtcTime = std::chrono::sys_seconds;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual UtcTime now() const = 0;
};

// The host's clock. Any thread.
const Clock& system_clock();

std::string compact_time(UtcTime time);                            // 20261121T020000Z, as in point names
std::optional<UtcTime> parse_compact_time(std::string_view text);  // exactly that form, a real date
std::string iso_time(UtcTime time);                                // 2026-11-21T02:00:00Z, RFC 3339
std::optional<UtcTime> parse_iso_time(std::string_view text);      // exactly that form

}  // namespace cairn
