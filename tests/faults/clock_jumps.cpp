// SPDX-License-Identifier: GPL-3.0-or-later
// The system's clock is set back and forth while time passes: points that are not old enough are not taken for old.
#include <cstdlib>

#include "fs/store/point/trusted_clock.h"
#include "tests/faults/kinds.h"
#include "tests/faults/scene.h"

namespace cairn::faults {
namespace {

using std::chrono::seconds;

// A host whose clock is set at random, in one boot and over several; what the store keeps is asked each time.
CaseResult set_at_random(std::uint64_t seed, unsigned steps) {
  std::mt19937_64 random(seed);
  const auto below = [&](std::int64_t limit) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(limit));
  };
  CaseResult result;
  result.cases = steps;
  seconds real(1'795'219'200);  // what a right clock would say
  seconds offset(0);            // of the system's clock
  seconds booted = real;
  unsigned boots = 0;
  std::optional<ClockRecord> record;
  // How far what is trusted may be ahead: the tolerance at each judgement, and what each boot may hide.
  seconds may_be_ahead(0);
  for (unsigned step = 0; step < steps; ++step) {
    real += seconds(below(86'400));
    const bool reboots = random() % 10 == 0;
    if (reboots) {
      booted = real;
      ++boots;
      may_be_ahead += kClockMostAway;
    }
    constexpr std::int64_t kYear = 365 * 86'400;
    if (random() % 3 == 0) offset = seconds(below(2 * kYear) - kYear);
    if (random() % 4 == 0) offset = seconds(0);
    may_be_ahead += kClockTolerance;

    const ClockReading reading{UtcTime(real + offset), "boot-" + std::to_string(boots), real - booted};
    const auto verdict = judge_clock(record, reading, {}, false);
    ++result.points;
    if (!verdict) {
      if (verdict.error().code != ErrorCode::clock_jumped)
        result.add(Verdict::other, "another error: " + verdict.error().message());
      continue;
    }
    if (!record) {
      // The first reading has nothing to be compared with: the model takes it as right.
      real += offset;
      booted += offset;
      offset = seconds(0);
    }
    if (verdict->trusted > UtcTime(real + may_be_ahead))
      result.add(Verdict::lost, "step " + std::to_string(step) + ": time that has not passed is trusted");
    record = verdict->record;
  }
  return result;
}

}  // namespace

Tally clock_jumps(const Options& options) {
  Tally tally;
  const std::size_t cases = options.quick ? 10 : 200;
  run_cases(
      tally, cases, options, [&](std::size_t number) { return set_at_random(options.seed + number, 200); },
      [&](std::size_t number) { return "clock with seed " + std::to_string(options.seed + number); });
  return tally;
}

}  // namespace cairn::faults
