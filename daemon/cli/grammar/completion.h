// SPDX-License-Identifier: GPL-3.0-or-later
// Completion: what can stand where the last of some words stands, from the same specs as the parser. Pure. Any thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "daemon/cli/grammar/command_spec.h"

namespace cairn::cli {

struct Completion {
  Completes kind = Completes::nothing;
  std::vector<std::string> words;       // commands and options, those that begin as typed
  std::filesystem::path settings_file;  // --config among the words before; empty: none
};
// `words` are those after the program's name; the last one is being typed.
Completion completion_of(const Commands& commands, const std::vector<std::string>& words);

// The long options that may stand after `command` (null: none yet): its own, those of the commands above, the global
// ones.
std::vector<std::string> option_names(const Commands& commands, const CommandSpec* command);

}  // namespace cairn::cli
