// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/grammar/arguments.h"

#include <algorithm>

#include "config/settings.h"
#include "daemon/cli/grammar/grammar.h"

namespace cairn::cli {
namespace {

// The command that the parsed words name; null: none.
CLI::App* parsed_command(CLI::App& app) {
  CLI::App* command = nullptr;
  for (CLI::App* at = &app; !at->get_subcommands().empty();) command = at = at->get_subcommands().front();
  return command;
}

std::string full_name(const CLI::App* command) {
  std::string name;
  for (; command != nullptr && command->get_parent() != nullptr; command = command->get_parent())
    name.insert(0, command->get_name() + (name.empty() ? "" : " "));
  return name;
}

// Null: there is none.
CLI::App* subcommand(CLI::App& app, const std::string& name) {
  const auto found = app.get_subcommands([&](const CLI::App* command) { return command->get_name() == name; });
  return found.empty() ? nullptr : found.front();
}

std::vector<std::string> subcommand_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!command->get_group().empty()) names.push_back(command->get_name());
  return names;
}

// The options that may stand after `command`: its own and those of everything above it.
std::vector<std::string> option_names(const CLI::App* command) {
  std::vector<std::string> names;
  for (; command != nullptr; command = command->get_parent()) {
    for (const CLI::Option* option : command->get_options())
      for (const std::string& name : option->get_lnames()) {
        if (std::find(names.begin(), names.end(), "--" + name) == names.end()) names.push_back("--" + name);
      }
  }
  return names;
}

std::unexpected<Error> unknown_word(const std::string& word, const CLI::App& app, const CLI::App* command) {
  const CLI::App& at = command != nullptr ? *command : app;
  const std::string help = "cairn " + full_name(&at) + (command != nullptr ? " " : "") + "--help";
  const bool option = word.size() > 1 && word[0] == '-';
  const std::vector<std::string> names = option ? option_names(&at) : subcommand_names(at);
  const std::string bare = option ? word.substr(0, word.find('=')) : word;
  const auto nearest = nearest_name(bare, names);
  const std::string advice = nearest ? "did you mean \"" + *nearest + "\"?" : "see \"" + help + "\"";
  const std::string where = command != nullptr ? "run \"cairn " + full_name(command) + "\"" : "run cairn";
  if (option) return misuse(where, "there is no option " + bare, advice);
  if (names.empty()) return misuse(where, "one word too many: \"" + bare + "\"", "see \"" + help + "\"");
  return misuse(where, "there is no command \"" + bare + "\"", advice);
}

Result<Command> help_on(const std::vector<std::string>& topics) {
  Grammar grammar;  // a fresh one: CLI11 shows the help of what was parsed, which is "help" itself
  CLI::App* at = &grammar.app;
  std::string above;
  for (const std::string& topic : topics) {
    CLI::App* next = subcommand(*at, topic);
    if (next == nullptr) return unknown_word(topic, grammar.app, at == &grammar.app ? nullptr : at);
    if (above.empty())
      above = "cairn";
    else
      above.append(" ").append(at->get_name());
    at = next;
  }
  return HelpCommand{at->help(above)};
}

Result<Command> command_of(Grammar& grammar) {
  if (grammar.version) return VersionCommand{};
  CLI::App* command = parsed_command(grammar.app);
  if (command == nullptr) return misuse("run cairn", "no command is given", "\"cairn --help\" lists the commands");
  const auto make = grammar.finish.find(command);
  if (make == grammar.finish.end())
    return misuse("run \"cairn " + full_name(command) + "\"", "the rest of the command is missing",
                  "\"cairn " + full_name(command) + " --help\" lists what can follow");
  if (command->get_name() == "help") return help_on(grammar.help_topics);
  return make->second();
}

}  // namespace

Result<Arguments> parse_arguments(const std::vector<std::string>& words, const char* environment_file) {
  Grammar grammar;
  Arguments arguments;
  // The words to complete are anything at all: CLI11 must not look at them.
  if (!words.empty() && words.front() == "__complete") {
    arguments.command = CompleteCommand{{words.begin() + 1, words.end()}};
    return arguments;
  }
  try {
    grammar.app.parse(std::vector<std::string>(words.rbegin(), words.rend()));  // CLI11 wants the last word first
  } catch (const CLI::CallForHelp&) {
    const CLI::App* command = parsed_command(grammar.app);
    arguments.globals = grammar.globals;
    arguments.command = HelpCommand{grammar.app.help("")};
    if (command != nullptr) {
      const std::string above = full_name(command->get_parent());
      arguments.command = HelpCommand{command->help(above.empty() ? "cairn" : "cairn " + above)};
    }
    return arguments;
  } catch (const CLI::ParseError& error) {
    const CLI::App* command = parsed_command(grammar.app);
    const std::vector<std::string> unknown = grammar.app.remaining(true);
    if (!unknown.empty()) return unknown_word(unknown.front(), grammar.app, command);
    return misuse(command != nullptr ? "run \"cairn " + full_name(command) + "\"" : "run cairn", error.what());
  }
  CAIRN_TRY(arguments.command, command_of(grammar));
  arguments.globals = grammar.globals;
  if (!grammar.settings_file.empty())
    arguments.globals.settings_file = grammar.settings_file;
  else if (environment_file != nullptr && *environment_file != '\0')
    arguments.globals.settings_file = environment_file;
  else
    arguments.globals.settings_file = kDefaultSettingsPath;
  return arguments;
}

bool asks_for_json(const std::vector<std::string>& words) {
  const auto end = std::find(words.begin(), words.end(), "--");
  return std::find(words.begin(), end, "--json") != end;
}

Completion completion_of(const std::vector<std::string>& words) {
  Grammar grammar;
  Completion completion;
  if (words.empty()) return completion;
  CLI::App* command = &grammar.app;
  std::size_t positionals = 0;
  const CLI::Option* expects_value = nullptr;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (expects_value != nullptr) {
      if (expects_value->check_lname("config")) completion.settings_file = word;
      expects_value = nullptr;
    } else if (word.starts_with("-")) {
      for (const CLI::App* at = command; at != nullptr && expects_value == nullptr; at = at->get_parent()) {
        const CLI::Option* option = at->get_option_no_throw(word);
        if (option != nullptr && option->get_items_expected_max() > 0 && !option->get_type_name().empty())
          expects_value = option;
      }
      if (word.starts_with("--config=")) completion.settings_file = word.substr(9);
    } else if (CLI::App* next = subcommand(*command, word); next != nullptr && positionals == 0) {
      command = next;
    } else {
      ++positionals;
    }
  }
  const std::string& typed = words.back();
  const auto offer = [&](const std::vector<std::string>& names) {
    for (const std::string& name : names)
      if (name.starts_with(typed)) completion.words.push_back(name);
  };
  const auto kind_of = [&](const CLI::Option* option) {
    const auto kind = grammar.completes.find(option);
    return kind != grammar.completes.end() ? kind->second : Completion::Kind::none;
  };
  if (expects_value != nullptr) {
    completion.kind = kind_of(expects_value);
    return completion;
  }
  completion.kind = Completion::Kind::words;
  if (typed.starts_with("-")) {
    offer(option_names(command));
    return completion;
  }
  if (positionals == 0) offer(subcommand_names(*command));
  if (command->get_name() == "help") {
    offer(subcommand_names(grammar.app));
    return completion;
  }
  std::size_t number = 0;
  for (const CLI::Option* option : command->get_options()) {
    if (!option->get_positional()) continue;
    const bool many = option->get_expected_max() > 1;
    if ((number == positionals || many) && kind_of(option) != Completion::Kind::none) completion.kind = kind_of(option);
    ++number;
  }
  return completion;
}

std::vector<std::string> command_names() {
  Grammar grammar;
  std::vector<std::string> names;
  for (const auto& [command, make] : grammar.finish)
    if (!command->get_group().empty()) names.push_back(full_name(command));
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace cairn::cli
