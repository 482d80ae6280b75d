// SPDX-License-Identifier: GPL-3.0-or-later
// Parser: from the words of a command line to a command and its values, and the text of --help. The only place that
// knows CLI11, which it builds from the specs. Pure. Any thread.
#pragma once

#include <string>
#include <vector>

#include "daemon/cli/grammar/command_spec.h"

namespace cairn::cli {

struct Parsed {
  GlobalOptions globals;
  const CommandSpec* command = nullptr;  // never null; lives as long as the commands
  Values values;                         // what to give to its run

  // The member of the command's struct that the option of this name fills; V is that member's type. For tests.
  // Throws std::bad_any_cast when it has another type, std::out_of_range when the command has no such option.
  template <class V>
  [[nodiscard]] V value_of(const std::string& name) const {
    return std::any_cast<V>(option(name).get(values));
  }

 private:
  [[nodiscard]] const OptionSpec& option(const std::string& name) const;
};

// `words` are those after the program's name. `environment_file` is $CAIRN_CONFIG; --config is stronger. With --help
// the command is "help" with the words of the command, with --version it is "version". Errors: used_wrongly, with the
// nearest command or option when one is near; those of the options and of the command's check.
Result<Parsed> parse_words(const Commands& commands, const std::vector<std::string>& words,
                           const char* environment_file);

// The help of the command that `topics` name, of all when there are none. Errors: used_wrongly: there is none.
Result<std::string> help_on(const Commands& commands, const std::vector<std::string>& topics);

// True when --json stands among `words`: how to report an error when they could not be parsed.
bool asks_for_json(const std::vector<std::string>& words);

}  // namespace cairn::cli
