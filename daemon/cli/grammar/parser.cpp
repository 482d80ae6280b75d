// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/grammar/parser.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <list>
#include <map>
#include <stdexcept>

#include "config/settings.h"
#include "daemon/cli/grammar/completion.h"

namespace cairn::cli {
namespace {

std::string run_text(const CommandSpec* command) {
  return command == nullptr ? "run cairn" : "run \"cairn " + command->words + "\"";
}
std::string help_text(const CommandSpec* command) {
  return command == nullptr ? "cairn --help" : "cairn " + command->words + " --help";
}

// CLI11's description of all commands, with the places that it fills.
class Grammar {
 public:
  explicit Grammar(const Commands& commands) : commands_(commands) {
    app.require_subcommand(0, 1);  // so that what follows a command is never taken for another: machines have any name
    for (const OptionSpec& option : global_options()) {
      if (option.names == "-h,--help")
        app.set_help_flag(option.names, option.help);
      else
        add(app, option);
    }
    app.footer(
        "Exit codes: 0 done, 1 failed, 2 used wrongly, 3 completed with warnings. Times are UTC.\n"
        "\n"
        "A first backup, once /etc/cairn/cairn.yaml names a store and a machine:\n"
        "  cairn store init --create-key-file --recovery-key-out -\n"
        "  cairn config check\n"
        "  cairn backup web-01\n"
        "  cairn points\n"
        "  cairn mount /mnt\n"
        "\n"
        "\"cairn COMMAND --help\" shows the options and examples of a command.");
    for (const CommandSpec& command : commands)
      if (!command.hidden) add(command);
  }
  Grammar(const Grammar&) = delete;
  Grammar& operator=(const Grammar&) = delete;

  // The command that the parsed words name; null: none.
  [[nodiscard]] const CommandSpec* named() {
    const CommandSpec* command = nullptr;
    for (CLI::App* at = &app; !at->get_subcommands().empty();) {
      at = at->get_subcommands().front();
      command = commands_of_.at(at);
    }
    return command;
  }
  // The help of a command; null: of the whole. `above` are the words before its last one.
  [[nodiscard]] std::string help_of(const CommandSpec* command, const std::string& above) {
    std::string text = app_of(command).help(above);
    if (command == nullptr || !command->run) return text;
    const std::size_t begin = text.find("Usage: ");
    if (begin == std::string::npos) return text;
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    return text.replace(begin, end - begin, "Usage: " + usage_of(*command));
  }
  // What is wrong with an option that CLI11 refuses, in our words. `problem`: CLI11's, "--rate: 1 required SIZE
  // missing".
  [[nodiscard]] std::string option_problem(const std::string& problem, const std::vector<std::string>& words) const {
    const std::size_t begin = std::min(problem.find("--"), problem.size());
    const std::string name = problem.substr(begin, problem.find_first_of(": =", begin) - begin);
    const auto place = std::ranges::find_if(places_, [&](const Place& at) {
      return ("," + at.option->names + ",").find("," + name + ",") != std::string::npos;
    });
    if (place == places_.end()) return problem;
    const auto times = std::ranges::count_if(
        words, [&](const std::string& word) { return word == name || word.starts_with(name + "="); });
    if (times > 1) return name + " is given more than once";
    if (place->option->is_flag()) return name + " takes no value";
    return name + " needs a value: " + name + " " + place->option->value;
  }
  // Where its words stand; null command: the whole.
  [[nodiscard]] CLI::App& app_of(const CommandSpec* command) {
    return command == nullptr ? app : *apps_.at(command->words);
  }

  // Puts what was typed for the options of `command` (null: the global ones) into `values`.
  Result<void> put(const CommandSpec* command, Values& values) {
    const CLI::App* const where = &app_of(command);
    for (const Place& place : places_) {
      if (place.app != where) continue;
      const OptionSpec& option = *place.option;
      const bool nothing = place.texts.empty() && place.text.empty() && !place.set;
      if (option.is_required && nothing)
        return misuse(run_text(command), missing_text(option) + " is missing", "see \"" + help_text(command) + "\"");
    }
    for (const Place& place : places_) {
      if (place.app != where || place.given->count() == 0 || (place.option->is_flag() && !place.set)) continue;
      CAIRN_CHECK(place.option->put(values, place.option->most == 1 ? std::vector{place.text} : place.texts));
    }
    return {};
  }

  CLI::App app{"Cairn backs up encrypted disks of virtual machines and gives every recovery point back as files.",
               "cairn"};

 private:
  struct Place {
    const CLI::App* app;
    const OptionSpec* option;
    CLI::Option* given = nullptr;
    bool set = false;                // a flag
    std::string text;                // one value
    std::vector<std::string> texts;  // several
  };

  // "cairn restore [OPTIONS] --to DIR MACHINE@POINT": what is needed stands bare, what need not be there in brackets.
  static std::string usage_of(const CommandSpec& command) {
    std::string needed;
    std::string places;
    for (const OptionSpec& option : command.options) {
      std::string text = option.is_positional() ? option.value : option.names + " " + option.value;
      if (option.is_positional() && option.most != 1) text += "...";
      if (!option.is_required && option.is_positional()) text = "[" + text + "]";
      if (option.is_positional())
        places += " " + text;
      else if (option.is_required)
        needed += " " + text;
    }
    return "cairn " + command.words + " [OPTIONS]" + needed + places;
  }

  static std::string missing_text(const OptionSpec& option) {
    std::string text = option.value;
    for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos;) text.replace(at, 1, " or ");
    return option.is_positional() ? text : option.names + " " + text;
  }

  void add(const CommandSpec& command) {
    const std::size_t end = command.words.rfind(' ');
    CLI::App& above = end == std::string::npos ? app : *apps_.at(command.words.substr(0, end));
    CLI::App* const here = above.add_subcommand(last_word(command), command.summary);
    here->fallthrough();
    here->footer(footer_of(command));
    here->require_subcommand(0, 1);
    apps_[command.words] = here;
    commands_of_[here] = &command;
    for (const OptionSpec& option : command.options) add(*here, option);
  }

  void add(CLI::App& here, const OptionSpec& option) {
    Place& place = places_.emplace_back(Place{&here, &option, nullptr, false, {}, {}});
    const std::string help = option.is_required ? option.help + " (required)" : option.help;
    if (option.is_flag()) {
      place.given = here.add_flag(option.names, place.set, help);
      return;
    }
    if (option.most == 1)
      place.given = here.add_option(option.names, place.text, help);
    else
      place.given = here.add_option(option.names, place.texts, help);
    if (option.value_is_optional) place.given->expected(0, 1);
    if (option.most > 1) place.given->expected(0, static_cast<int>(option.most));
    place.given->type_name(option.value);
  }

  const Commands& commands_;
  std::list<Place> places_;  // CLI11 keeps pointers into them
  std::map<std::string, CLI::App*> apps_;
  std::map<const CLI::App*, const CommandSpec*> commands_of_;
};

std::unexpected<Error> unknown_word(const Commands& commands, const std::string& word, const CommandSpec* command) {
  const bool option = word.size() > 1 && word[0] == '-';
  std::vector<std::string> names;
  if (option)
    names = option_names(commands, command);
  else
    for (const CommandSpec* below : commands_below(commands, command == nullptr ? "" : command->words))
      names.push_back(last_word(*below));
  const std::string bare = option ? word.substr(0, word.find('=')) : word;
  const auto nearest = nearest_name(bare, names);
  const std::string see = "see \"" + help_text(command) + "\"";
  const std::string advice = nearest ? "did you mean \"" + *nearest + "\"?" : see;
  if (option) return misuse(run_text(command), "there is no option " + bare, advice);
  if (names.empty()) return misuse(run_text(command), "one word too many: \"" + bare + "\"", see);
  return misuse(run_text(command), "there is no command \"" + bare + "\"", advice);
}

std::vector<std::string> split_words(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

// "restore --help" is "help restore", and --version is "version".
Result<Parsed> parse_instead(const Commands& commands, const std::vector<std::string>& words,
                             const GlobalOptions& globals) {
  CAIRN_TRY(Parsed parsed, parse_words(commands, words, nullptr));
  parsed.globals = globals;
  parsed.globals.help = parsed.globals.version = false;
  return parsed;
}

// The words of a hidden command are anything at all: CLI11 must not look at them.
Result<Parsed> parse_hidden(const CommandSpec& command, const std::vector<std::string>& words) {
  Parsed parsed{{}, &command, command.values};
  if (words.size() > 1) CAIRN_CHECK(command.options.front().put(parsed.values, {words.begin() + 1, words.end()}));
  return parsed;
}

}  // namespace

const OptionSpec& Parsed::option(const std::string& name) const {
  for (const OptionSpec& spec : command->options)
    if (spec.names == name) return spec;
  throw std::out_of_range(command->words + " " + name);
}

Result<Parsed> parse_words(const Commands& commands, const std::vector<std::string>& words,
                           const char* environment_file) {
  if (!words.empty())
    if (const CommandSpec* hidden = find_command(commands, words.front()); hidden != nullptr && hidden->hidden)
      return parse_hidden(*hidden, words);
  Grammar grammar(commands);
  bool help = false;
  try {
    grammar.app.parse(std::vector<std::string>(words.rbegin(), words.rend()));  // CLI11 wants the last word first
  } catch (const CLI::CallForHelp&) {
    help = true;
  } catch (const CLI::ParseError& error) {
    const std::vector<std::string> unknown = grammar.app.remaining(true);
    if (!unknown.empty()) return unknown_word(commands, unknown.front(), grammar.named());
    return misuse(run_text(grammar.named()), grammar.option_problem(error.what(), words),
                  "see \"" + help_text(grammar.named()) + "\"");
  }
  Values given = GlobalOptions{};
  CAIRN_CHECK(grammar.put(nullptr, given));
  const auto& globals = std::any_cast<const GlobalOptions&>(given);
  const CommandSpec* const command = grammar.named();
  if (help) {
    std::vector<std::string> instead{"help"};
    if (command != nullptr) std::ranges::copy(split_words(command->words), std::back_inserter(instead));
    return parse_instead(commands, instead, globals);
  }
  if (globals.version) return parse_instead(commands, {"version"}, globals);
  if (command == nullptr)
    return misuse(run_text(nullptr), "no command is given", "\"cairn --help\" lists the commands");
  if (!command->run)
    return misuse(run_text(command), "the rest of the command is missing",
                  "\"" + help_text(command) + "\" lists what can follow");
  Parsed parsed{globals, command, command->values};
  CAIRN_CHECK(grammar.put(command, parsed.values));
  if (command->check) CAIRN_CHECK(command->check(parsed.values, parsed.globals));
  if (parsed.globals.settings_file.empty()) {
    const bool named = environment_file != nullptr && *environment_file != '\0';
    parsed.globals.settings_file = named ? environment_file : kDefaultSettingsPath;
  }
  return parsed;
}

Result<std::string> help_on(const Commands& commands, const std::vector<std::string>& topics) {
  Grammar grammar(commands);  // a fresh one: CLI11 shows the help of what was parsed, which is "help" itself
  const CommandSpec* command = nullptr;
  std::string above;
  for (const std::string& topic : topics) {
    const std::string words = command == nullptr ? topic : command->words + " " + topic;
    const CommandSpec* const next = find_command(commands, words);
    if (next == nullptr || next->hidden || topic.find(' ') != std::string::npos)
      return unknown_word(commands, topic, command);
    above = command == nullptr ? "cairn" : "cairn " + command->words;
    command = next;
  }
  return grammar.help_of(command, above);
}

bool asks_for_json(const std::vector<std::string>& words) {
  const auto end = std::find(words.begin(), words.end(), "--");
  return std::find(words.begin(), end, "--json") != end;
}

}  // namespace cairn::cli
