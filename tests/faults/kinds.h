// SPDX-License-Identifier: GPL-3.0-or-later
// The kinds of faults: each runs its cases and counts them.
#pragma once

#include <span>

#include "tests/faults/tally.h"

namespace cairn::faults {

Tally power_cuts(const Options& options);
Tally failing_calls(const Options& options);
Tally bit_flips(const Options& options);
Tally two_writers(const Options& options);
Tally readers_meanwhile(const Options& options);
Tally full_disk(const Options& options);
Tally hanging_backend(const Options& options);
Tally clock_jumps(const Options& options);
Tally model(const Options& options);

struct Kind {
  const char* name;
  Tally (*run)(const Options& options);
};
std::span<const Kind> kinds();

}  // namespace cairn::faults
