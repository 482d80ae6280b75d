// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/grammar/completion.h"

#include <algorithm>

namespace cairn::cli {
namespace {

const CommandSpec* above(const Commands& commands, const CommandSpec* command) {
  const std::size_t end = command->words.rfind(' ');
  return end == std::string::npos ? nullptr : find_command(commands, command->words.substr(0, end));
}

// Those that may stand after `command`, as option_names says.
std::vector<const OptionSpec*> options_after(const Commands& commands, const CommandSpec* command) {
  std::vector<const OptionSpec*> options;
  for (; command != nullptr; command = above(commands, command))
    for (const OptionSpec& option : command->options)
      if (!option.is_positional()) options.push_back(&option);
  for (const OptionSpec& option : global_options()) options.push_back(&option);
  return options;
}

// "-h,--help" has the names -h and --help.
bool is_named(const OptionSpec& option, const std::string& name) {
  return ("," + option.names + ",").find("," + name + ",") != std::string::npos;
}

}  // namespace

std::vector<std::string> option_names(const Commands& commands, const CommandSpec* command) {
  std::vector<std::string> names;
  for (const OptionSpec* option : options_after(commands, command))
    names.push_back(option->names.substr(option->names.find("--")));
  return names;
}

Completion completion_of(const Commands& commands, const std::vector<std::string>& words) {
  Completion completion;
  if (words.empty()) return completion;
  const CommandSpec* command = nullptr;
  std::size_t positionals = 0;
  const OptionSpec* expects_value = nullptr;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (expects_value != nullptr) {
      if (is_named(*expects_value, "--config")) completion.settings_file = word;
      expects_value = nullptr;
      continue;
    }
    if (word.starts_with("-")) {
      for (const OptionSpec* option : options_after(commands, command))
        if (is_named(*option, word) && !option->is_flag()) expects_value = option;
      if (word.starts_with("--config=")) completion.settings_file = word.substr(9);
      continue;
    }
    const CommandSpec* const next = find_command(commands, command == nullptr ? word : command->words + " " + word);
    if (next != nullptr && !next->hidden && positionals == 0)
      command = next;
    else
      ++positionals;
  }
  const std::string& typed = words.back();
  const auto offer = [&](const std::string& name) {
    if (name.starts_with(typed)) completion.words.push_back(name);
  };
  if (expects_value != nullptr) {
    completion.kind = expects_value->completes;
    std::ranges::for_each(expects_value->choices, offer);
    return completion;
  }
  completion.kind = Completes::words;
  if (typed.starts_with("-")) {
    std::ranges::for_each(option_names(commands, command), offer);
    return completion;
  }
  if (positionals == 0)
    for (const CommandSpec* below : commands_below(commands, command == nullptr ? "" : command->words))
      offer(last_word(*below));
  if (command == nullptr) return completion;
  std::size_t number = 0;
  for (const OptionSpec& option : command->options) {
    if (!option.is_positional()) continue;
    const bool here = number == positionals || option.most != 1;
    if (here && option.completes == Completes::commands)
      for (const CommandSpec* topic : commands_below(commands, "")) offer(last_word(*topic));
    else if (here && option.completes != Completes::nothing)
      completion.kind = option.completes;
    ++number;
  }
  return completion;
}

}  // namespace cairn::cli
