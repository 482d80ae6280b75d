// SPDX-License-Identifier: GPL-3.0-or-later
// Manual: the man page cairn(1), from the specs and a page that has by hand what no spec knows. Pure. Any thread.
#pragma once

#include <string>

#include "daemon/cli/grammar/command_spec.h"

namespace cairn::cli {

// `page` is man(7) source with the lines "@COMMANDS@" and "@OPTIONS@", each of which becomes what it says: a subsection
// for each command, with synopsis, options, examples and notes; and the options of every command.
// Errors: used_wrongly: the page lacks one of the lines.
Result<std::string> manual_of(const Commands& commands, const std::string& page);

}  // namespace cairn::cli
