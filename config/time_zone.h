// SPDX-License-Identifier: GPL-3.0-or-later
// Time zones: the host's IANA time zone data (tzdata) behind a small face. UTC works without any data.
// Pure after the first use, which reads the list of zones; data changed on disk is seen after a restart. Any thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "config/base/clock.h"
#include "config/base/result.h"

namespace cairn {

// Wall-clock time in some zone, as seconds since 1970-01-01 00:00:00 on that clock.
using LocalTime = std::chrono::local_seconds;

class TimeZone {
 public:
  // UTC.
  TimeZone() = default;
  // Errors: settings_invalid when there is no such zone; the message has the nearest name.
  static Result<TimeZone> find(std::string_view name);
  // The host's: $TZ when it names a zone, else /etc/localtime, else /etc/timezone; UTC when none of them says.
  static TimeZone host();

  [[nodiscard]] const std::string& name() const { return name_; }

  // A stretch of time with one distance from UTC.
  struct Period {
    UtcTime begin;                // inclusive
    UtcTime end;                  // exclusive
    std::chrono::seconds offset;  // local time less UTC
  };
  [[nodiscard]] Period period_at(UtcTime time) const;
  [[nodiscard]] LocalTime to_local(UtcTime time) const;
  // The instant of a local time: the first one of a repeated time, the first after the gap for a skipped one.
  [[nodiscard]] UtcTime first_instant_of(LocalTime time) const;

 private:
  std::string name_ = "UTC";
  const void* data_ = nullptr;  // const date::time_zone*, alive for ever; nullptr: UTC
};

// The name of a zone that `wanted` may have meant: other capitals, the city alone, a slip of the fingers.
std::optional<std::string> nearest_zone_name(std::string_view wanted);

}  // namespace cairn
