// SPDX-License-Identifier: GPL-3.0-or-later
// The whole program but for hardening. One thread at a time.
#pragma once

#include <string>
#include <vector>

#include "config/base/result.h"

namespace cairn::cli {

// Parses, runs, reports; exceptions of libraries end here. `words` are those after the program's name.
ExitCode run_command_line(const std::vector<std::string>& words);

}  // namespace cairn::cli
