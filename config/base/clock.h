// SPDX-License-Identifier: GPL-3.0-or-later
// Time: the clock that tests can replace, and times as Cairn writes them. All times are UTC, in whole seconds. Code
// that dates something or waits for a date takes a Clock, which must outlive it, and never asks the system itself. How
// long work took is measured with std::chrono::steady_clock. Any thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace cairn {

// Seconds since 1970-01-01T00:00:00Z; the default value is that instant.
using UtcTime = std::chrono::sys_seconds;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual UtcTime now() const = 0;
};

// The host's clock.
const Clock& system_clock();

std::string compact_time(UtcTime time);                            // 20261121T020000Z, as in point names
std::optional<UtcTime> parse_compact_time(std::string_view text);  // exactly that form, a real date
std::string iso_time(UtcTime time);                                // 2026-11-21T02:00:00Z, RFC 3339
std::optional<UtcTime> parse_iso_time(std::string_view text);      // exactly that form, a real date

}  // namespace cairn
