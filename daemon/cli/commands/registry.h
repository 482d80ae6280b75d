// SPDX-License-Identifier: GPL-3.0-or-later
// Registry: all commands of cairn. Any thread.
#pragma once

#include "daemon/cli/grammar/command_spec.h"

namespace cairn::cli {

// In the order of the help; groups stand before what is below them.
const Commands& all_commands();

}  // namespace cairn::cli
