// SPDX-License-Identifier: GPL-3.0-or-later
// All kinds of faults, and the table of what they found.
#pragma once

#include <iosfwd>

#include "tests/faults/kinds.h"

namespace cairn::faults {

// Runs one kind, quietly: what the library logs meanwhile is thrown away.
Tally run_kind(const Kind& kind, const Options& options);
// Runs what the options say and prints the table. True: nothing was lost, wrong, or crashed.
bool run_programme(Options options, std::ostream& out);

}  // namespace cairn::faults
