// SPDX-License-Identifier: GPL-3.0-or-later
// CommandSpec: a command as data: its words, its options, its text, what checks it and what runs it. The parser, the
// help, the completion and the man page all come from it, so that they cannot disagree. A file in daemon/cli/commands
// defines a command's struct and returns its spec; commands/registry.cpp lists them. Values; any thread.
#pragma once

#include <any>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "config/base/result.h"

namespace cairn::cli {

class Context;

// The options that every command has.
struct GlobalOptions {
  std::filesystem::path settings_file;
  std::filesystem::path store;  // the store itself, for a host without settings; empty: that of the settings
  bool json = false;
  std::string recovery_key;  // a file or "-" (standard input); empty: unlock with the settings' key
  bool no_daemon = false;    // do the work in this process, even when a daemon is there
  bool version = false;      // --version: the same as the command "version"
  bool help = false;         // --help: the same as the command "help" with the words of the command
};

// What stands in a place of the command line; the completion offers it.
enum class Completes {
  nothing,
  words,
  commands,
  machines,
  points,
  machines_or_points,
  deleted_points,
  disks,       // MACHINE/DISK
  disk_names,  // DISK, of any machine
  vaults,
  secrets,  // VAULT/NAME, those that the settings name
  keks,     // the same
  rights,
  jobs,
  error_names,
  files
};

// A command's struct as its options fill it.
using Values = std::any;

// An option ("--to DIR", "--force") or a positional ("MACHINE@POINT"). Made by the functions below.
struct OptionSpec {
  std::string names;  // "--to", "-h,--help"; of a positional its name in the help: "point"
  std::string value;  // what stands for its value in the help: "DIR"; empty: a flag
  std::string help;   // one sentence, without a full stop
  Completes completes = Completes::nothing;
  std::vector<std::string> choices = {};  // all that it may be, for the completion; empty: not a few words
  bool is_required = false;               // "MACHINE@POINT is missing" when it is not given, or empty
  bool value_is_optional = false;         // "--data" and "--data 10"
  std::size_t most = 1;                   // how many values at most; 0: any number
  // Puts what was typed into its member of the struct (a flag: nothing was). Errors: used_wrongly.
  std::function<Result<void>(Values&, const std::vector<std::string>&)> put;
  // A copy of that member, for tests.
  std::function<std::any(const Values&)> get;

  [[nodiscard]] bool is_flag() const { return value.empty(); }
  [[nodiscard]] bool is_positional() const { return !names.starts_with('-'); }
  OptionSpec required() && { return is_required = true, std::move(*this); }
  OptionSpec optional_value() && { return value_is_optional = true, std::move(*this); }
  OptionSpec one_of(std::vector<std::string> words) && { return choices = std::move(words), std::move(*this); }
  OptionSpec at_most(std::size_t count) && { return most = count, std::move(*this); }
};

struct CommandSpec {
  std::string words;                  // as typed: "store keys add"
  std::string summary;                // one line of help
  std::vector<std::string> examples;  // whole lines to type; each may end in blanks and a remark
  std::string notes;  // the help's last paragraph, broken into lines; lines that begin with a blank stay lines
  std::vector<OptionSpec> options;  // as the help lists them
  bool hidden = false;              // for scripts of Cairn's own; its words are taken as they are, options too
  Values values;                    // the struct, as it is when nothing is given
  // What no option sees alone: which go together, and what follows from them. Null: anything goes. Errors:
  // used_wrongly.
  std::function<Result<void>(Values&, const GlobalOptions&)> check;
  // Does it; its answer is printed by then. An error is printed by the caller. Null: a group, such as "store".
  std::function<Result<ExitCode>(Context&, const Values&)> run;
};

using Commands = std::vector<CommandSpec>;

// A flag: true when it is given.
template <class T>
OptionSpec flag(std::string names, std::string help, bool T::* member) {
  OptionSpec spec;
  spec.names = std::move(names);
  spec.help = std::move(help);
  spec.put = [member](Values& values, const std::vector<std::string>&) -> Result<void> {
    std::any_cast<T&>(values).*member = true;
    return {};
  };
  spec.get = [member](const Values& values) -> std::any { return std::any_cast<const T&>(values).*member; };
  return spec;
}

// An option with a value, or a positional, whose text `parse` understands: a function or a lambda from const
// std::string& to Result<V>.
template <class T, class V, class Parse>
OptionSpec parsed_value(std::string names, std::string value, std::string help, V T::* member, Parse parse,
                        Completes completes = Completes::nothing) {
  OptionSpec spec;
  spec.names = std::move(names);
  spec.value = std::move(value);
  spec.help = std::move(help);
  spec.completes = completes;
  spec.put = [member, parse](Values& values, const std::vector<std::string>& texts) -> Result<void> {
    CAIRN_TRY(std::any_cast<T&>(values).*member, parse(texts.front()));
    return {};
  };
  spec.get = [member](const Values& values) -> std::any { return std::any_cast<const T&>(values).*member; };
  return spec;
}

// The same, taken as it is typed: into a text or a path.
template <class T, class V>
OptionSpec value(std::string names, std::string value_name, std::string help, V T::* member,
                 Completes completes = Completes::nothing) {
  return parsed_value(
      std::move(names), std::move(value_name), std::move(help), member,
      [](const std::string& text) -> Result<V> { return V(text); }, completes);
}

// The same, for any number of values.
template <class T>
OptionSpec value(std::string names, std::string value_name, std::string help, std::vector<std::string> T::* member,
                 Completes completes = Completes::nothing) {
  OptionSpec spec;
  spec.names = std::move(names);
  spec.value = std::move(value_name);
  spec.help = std::move(help);
  spec.completes = completes;
  spec.most = 0;
  spec.put = [member](Values& values, const std::vector<std::string>& texts) -> Result<void> {
    std::any_cast<T&>(values).*member = texts;
    return {};
  };
  spec.get = [member](const Values& values) -> std::any { return std::any_cast<const T&>(values).*member; };
  return spec;
}

// What checks and runs a command, in terms of its own struct T.
template <class T>
void set_action(CommandSpec& spec, Result<ExitCode> (*run)(Context&, const T&),
                Result<void> (*check)(T&, const GlobalOptions&) = nullptr) {
  spec.values = T{};
  spec.run = [run](Context& context, const Values& values) { return run(context, std::any_cast<const T&>(values)); };
  if (check != nullptr)
    spec.check = [check](Values& values, const GlobalOptions& globals) {
      return check(std::any_cast<T&>(values), globals);
    };
}

// What is said on every command: --config, --json and so on; they fill a GlobalOptions.
const std::vector<OptionSpec>& global_options();

// "restore --help" and the man page: the examples and the notes.
std::string footer_of(const CommandSpec& command);

// The last word: "add" of "store keys add".
std::string last_word(const CommandSpec& command);
// Null: there is none of these words.
const CommandSpec* find_command(const Commands& commands, const std::string& words);
// The commands right below these words, without the hidden ones; empty words: those of the first rank.
std::vector<const CommandSpec*> commands_below(const Commands& commands, const std::string& words);

// Errors of commands that are used wrongly. `doing`: "prune"; `because`: what is wrong; `resolution`: what to do.
std::unexpected<Error> misuse(std::string doing, std::string because, std::string resolution = {});

}  // namespace cairn::cli
