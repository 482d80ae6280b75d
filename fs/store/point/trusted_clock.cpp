// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/point/trusted_clock.h"

#include <algorithm>
#include <ctime>
#include <fstream>

#include "config/base/units.h"

namespace cairn {
namespace {

using std::chrono::seconds;

// For people: both times stand beside it to the second.
std::string about(seconds time) {
  for (const seconds unit : {seconds(86400), seconds(3600), seconds(60)})
    if (time >= 2 * unit) return format_duration(time / unit * unit);
  return format_duration(time);
}

std::unexpected<Error> jumped(UtcTime from, UtcTime to, seconds expected) {
  const seconds moved = to - from;
  const seconds off = moved - expected;
  std::string because = "it went from " + iso_time(from) + " to " + iso_time(to);
  if (moved < seconds(0))
    because += ", back by " + about(-moved);
  else if (off < seconds(0))
    because += ", " + about(-off) + " less than has passed";
  else
    because += ", " + about(off) + " further than is known to have passed";
  return fail(ErrorCode::clock_jumped, "use", "the clock", std::move(because));
}

}  // namespace

ClockReading read_clock(const Clock& clock) {
  ClockReading reading;
  // The time since boot first: when this thread is held up in between, the clock seems to be ahead, never behind.
  timespec since_boot{};
  if (::clock_gettime(CLOCK_BOOTTIME, &since_boot) == 0) reading.since_boot = seconds(since_boot.tv_sec);
  reading.now = clock.now();
  // Without /proc every reading is of a boot of its own: only the coarse rule is left.
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::getline(file, reading.boot_id);
  return reading;
}

Result<ClockVerdict> judge_clock(const std::optional<ClockRecord>& record, const ClockReading& reading,
                                 std::optional<UtcTime> newest_point, bool accept) {
  ClockVerdict verdict;
  verdict.record.last = reading;
  verdict.trusted = reading.now;
  seconds confirmed{0};  // what has passed since the record, for certain
  bool same_boot = false;
  if (record) {
    verdict.record.accepted_points = record->accepted_points;
    const seconds moved = reading.now - record->last.now;
    same_boot = !reading.boot_id.empty() && reading.boot_id == record->last.boot_id &&
                reading.since_boot >= record->last.since_boot;
    confirmed = same_boot ? reading.since_boot - record->last.since_boot : reading.since_boot;
    const bool good = same_boot ? std::chrono::abs(moved - confirmed) <= kClockTolerance
                                : moved >= -kClockTolerance && moved <= kClockMostAway;
    if (!good && !accept) return jumped(record->last.now, reading.now, confirmed);
    // The host was off meanwhile, as far as is known.
    if (good && !same_boot) confirmed = std::max(moved, seconds(0));
    verdict.trusted = std::min(reading.now, record->last.now - record->doubtful + confirmed);
    verdict.record.doubtful = reading.now - verdict.trusted;
  }
  // Within one boot the record is the better witness.
  if (!same_boot && newest_point && *newest_point > reading.now + kClockTolerance &&
      (!verdict.record.accepted_points || *newest_point > *verdict.record.accepted_points) && !accept)
    return fail(ErrorCode::clock_jumped, "use", "the clock",
                "it says " + iso_time(reading.now) + ", and there is a recovery point of " + iso_time(*newest_point));
  if (accept) verdict.record.accepted_points = newest_point;
  return verdict;
}

}  // namespace cairn
