// SPDX-License-Identifier: GPL-3.0-or-later
// ManualClock: a clock that tests set. Any thread.
#pragma once

#include <atomic>
#include <stdexcept>
#include <string_view>

#include "config/base/clock.h"

namespace cairn {

inline UtcTime utc(std::string_view iso) {
  const auto time = parse_iso_time(iso);
  if (!time) throw std::invalid_argument("not a time: " + std::string(iso));
  return *time;
}

class ManualClock final : public Clock {
 public:
  explicit ManualClock(std::string_view iso = "2026-11-21T02:00:00Z") : seconds_(utc(iso).time_since_epoch().count()) {}
  [[nodiscard]] UtcTime now() const override { return UtcTime(std::chrono::seconds(seconds_.load())); }
  void set(UtcTime time) { seconds_ = time.time_since_epoch().count(); }
  void advance(std::chrono::seconds by) { seconds_ += by.count(); }

 private:
  std::atomic<std::int64_t> seconds_;
};

}  // namespace cairn
