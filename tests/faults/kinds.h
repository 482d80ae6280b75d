// The kinds of faults: each runs its cases and counts them. SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <span>

#include "tests/faults/tally.h"

namespace cairn::faults {

Tally power_cuts(const Options& options);
Tally failing_calls(const Options& options);
Tally bit_flips(const Options& options);

struct Kind {
  const char* name;
  Tally (*run)(const Options& options);
};
std::span<const Kind> kinds();

}  // namespace cairn::faults
