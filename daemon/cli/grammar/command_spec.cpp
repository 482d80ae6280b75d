// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/grammar/command_spec.h"

#include <algorithm>

namespace cairn::cli {

const std::vector<OptionSpec>& global_options() {
  static const std::vector<OptionSpec> kOptions{
      flag("-h,--help", "Show help and examples", &GlobalOptions::help),
      flag("--version", "Show the version", &GlobalOptions::version),
      value("--config", "FILE", "Settings file (default: $CAIRN_CONFIG or /etc/cairn/cairn.yaml)",
            &GlobalOptions::settings_file, Completes::files),
      flag("--json", "One JSON document on standard output, and nothing else", &GlobalOptions::json),
      value("--recovery-key", "FILE", "Unlock the store with the printed recovery key in FILE (-: standard input)",
            &GlobalOptions::recovery_key, Completes::files),
      value("--store", "DIR", "A store's directory, on a host without settings", &GlobalOptions::store,
            Completes::files),
      flag("--no-daemon", "Do the work in this process, even when a daemon runs", &GlobalOptions::no_daemon),
  };
  return kOptions;
}

std::string footer_of(const CommandSpec& command) {
  std::string text;
  if (!command.examples.empty()) text = command.examples.size() == 1 ? "Example:\n" : "Examples:\n";
  for (const std::string& example : command.examples) text += "  " + example + "\n";
  if (!command.notes.empty()) text += (text.empty() ? "" : "\n") + command.notes + "\n";
  if (!text.empty()) text.pop_back();
  return text;
}

std::string last_word(const CommandSpec& command) {
  return command.words.substr(command.words.rfind(' ') + 1);
}

const CommandSpec* find_command(const Commands& commands, const std::string& words) {
  const auto found = std::ranges::find(commands, words, &CommandSpec::words);
  return found == commands.end() ? nullptr : &*found;
}

std::vector<const CommandSpec*> commands_below(const Commands& commands, const std::string& words) {
  std::vector<const CommandSpec*> below;
  const std::string above = words.empty() ? words : words + " ";
  for (const CommandSpec& command : commands)
    if (!command.hidden && command.words == above + last_word(command)) below.push_back(&command);
  return below;
}

std::unexpected<Error> misuse(std::string doing, std::string because, std::string resolution) {
  return fail(ErrorCode::used_wrongly, std::move(doing), {}, std::move(because), std::move(resolution));
}

}  // namespace cairn::cli
