// Arguments: what the words of a command line ask for, as values. The only file that knows CLI11 is arguments.cpp; the
// completion of words is answered from the same grammar, so that the two cannot disagree. Pure. Any thread.
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/base/result.h"

namespace cairn::cli {

struct GlobalOptions {
  std::filesystem::path settings_file;
  bool json = false;
  std::string recovery_key;  // a file or "-" (standard input); empty: unlock with the settings' key
  bool no_daemon = false;    // do the work in this process, even when a daemon is there
};

// One struct a command; paths are as typed.
struct HelpCommand {
  std::string text;
};
struct VersionCommand {};
struct StoreInitCommand {
  std::optional<std::uint64_t> chunk_size;  // bytes; nothing: the store's default
  bool create_key_file = false;
  std::string recovery_key_out;  // a file or "-" (standard output); empty: none asked for
  std::string label;             // of the slot for the settings' key; empty: "settings"
};
struct StoreInfoCommand {};
struct RebuildIndexCommand {};
struct KeysListCommand {};
struct KeysAddCommand {
  enum class From { key_file, passphrase_file, terminal, recovery };
  From from = From::key_file;
  std::string file;              // key_file, passphrase_file
  std::string recovery_key_out;  // recovery: a file or "-"
  std::string label;
};
struct KeysRemoveCommand {
  std::string slot;  // id or label
  bool yes = false;
};
struct ConfigCheckCommand {};
struct BackupCommand {
  std::vector<std::string> machines;
  bool all = false;
  bool full_read = false;
};
struct PointsCommand {
  std::string what;  // empty, a machine, or MACHINE@POINT
};
struct MountCommand {
  std::string directory;
  bool foreground = false;
  bool allow_other = false;
};
struct UmountCommand {
  std::string directory;
};
struct RestoreCommand {
  std::string point;
  std::string to;
  std::string disk;  // empty: all
  bool force = false;
};
struct StatusCommand {};
struct JobsCommand {
  std::string id;  // empty: list
  std::size_t limit = 20;
};
struct JobsCancelCommand {
  std::string id;
};
struct ExplainCommand {
  std::string name;  // empty: list
};
struct CompleteCommand {
  std::vector<std::string> words;  // after "cairn"; the last one is being typed
};

using Command = std::variant<HelpCommand, VersionCommand, StoreInitCommand, StoreInfoCommand, RebuildIndexCommand,
                             KeysListCommand, KeysAddCommand, KeysRemoveCommand, ConfigCheckCommand, BackupCommand,
                             PointsCommand, MountCommand, UmountCommand, RestoreCommand, StatusCommand, JobsCommand,
                             JobsCancelCommand, ExplainCommand, CompleteCommand>;

struct Arguments {
  GlobalOptions globals;
  Command command;
};

// `words` are those after the program's name. `environment_file` is $CAIRN_CONFIG; --config is stronger.
// Errors: used_wrongly, with the nearest command or option when one is near.
Result<Arguments> parse_arguments(const std::vector<std::string>& words, const char* environment_file);

// True when --json stands among `words`: how to report an error when they could not be parsed.
bool asks_for_json(const std::vector<std::string>& words);

// What can stand where the last of some words stands.
struct Completion {
  enum class Kind { none, words, machines, points, machines_or_points, error_names, files };
  Kind kind = Kind::none;
  std::vector<std::string> words;       // commands and options, those that begin as typed
  std::filesystem::path settings_file;  // --config among the words before; empty: none
};
Completion completion_of(const std::vector<std::string>& words);

// Every command as typed ("store keys add"), for tests and the completion.
std::vector<std::string> command_names();

}  // namespace cairn::cli
