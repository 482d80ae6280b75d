// SPDX-License-Identifier: GPL-3.0-or-later
// TrustedClock: whether time has passed as the system's clock says. Recovery points expire by the clock, so a clock
// that went back or far ahead must not remove any. The store keeps what the clock said last, together with the kernel's
// boot id and seconds since boot, which nobody sets. Rules: fs/store/FORMAT.md "Clock". Pure but for read_clock().
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "config/base/clock.h"
#include "config/base/result.h"

namespace cairn {

// Within one boot the clock may differ this much from the time since boot (leap seconds, slow correction by NTP).
inline constexpr std::chrono::seconds kClockTolerance = std::chrono::hours(1);
// From one boot to another it may go ahead this far: a host may have been off.
inline constexpr std::chrono::seconds kClockMostAway = std::chrono::days(14);

struct ClockReading {
  UtcTime now;
  std::string boot_id;                 // /proc/sys/kernel/random/boot_id
  std::chrono::seconds since_boot{0};  // CLOCK_BOOTTIME: goes on while the machine sleeps
};
ClockReading read_clock(const Clock& clock);

// The object `clock` of the store.
struct ClockRecord {
  ClockReading last;
  // How far the clock ran ahead of what Cairn could confirm: immutable points last longer by this.
  std::chrono::seconds doubtful{0};
  // The newest point when an administrator accepted the clock: that it is from the future is no news any more.
  std::optional<UtcTime> accepted_points;
};

struct ClockVerdict {
  ClockRecord record;  // to be kept, when it is trusted
  UtcTime trusted;     // reading.now less what is doubtful: what immutability is measured by
};
// `record`: nothing: the store has none yet. `newest_point`: a point from the future says that the clock went back.
// `accept`: an administrator has looked at the clock: what cannot be confirmed becomes doubtful, and the clock is right
// from here on. Errors: clock_jumped (from when to when, and how far).
Result<ClockVerdict> judge_clock(const std::optional<ClockRecord>& record, const ClockReading& reading,
                                 std::optional<UtcTime> newest_point, bool accept);

}  // namespace cairn
