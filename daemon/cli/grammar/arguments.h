// SPDX-License-Identifier: GPL-3.0-or-later
// Arguments: what the words of a command line ask for, as values. CLI11 stays behind grammar.h; the
// completion of words is answered from the same grammar, so that the two cannot disagree. Pure. Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"

namespace cairn::cli {

struct GlobalOptions {
  std::filesystem::path settings_file;
  std::filesystem::path store;  // the store itself, for a host without settings; empty: that of the settings
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
// Works on the directory alone: without settings, index and journal, also on read-only media.
struct StoreRecoverCommand {
  std::vector<std::string> points;  // MACHINE@POINT; empty: list all
  std::string to;                   // where to write their disks; empty: list
  std::string key_file;
  std::string passphrase_file;
  std::string work;  // where the index is built; empty: $TMPDIR
  bool force = false;
  bool salvage = false;
};
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
  bool deleted = false;
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
  bool header_only = false;
  std::string in_place;  // header_only: the device to write the header onto, instead of `to`
  bool yes = false;      // in_place: do not ask
  bool salvage = false;  // zeros for what is damaged; not with header_only
};
// The vault may be left out where the settings declare only one. `as`: the principal; empty: "admin".
struct VaultInitCommand {
  std::string vault;
  std::string as;
  bool create_key_file = false;
};
struct VaultListCommand {};
struct VaultPolicyCommand {
  std::string vault;
  std::string as;
};
struct VaultGrantCommand {
  std::string vault;
  std::string as;
  std::string principal;
  std::vector<std::string> rights;
  std::string rights_template;
};
struct VaultRevokeCommand {
  std::string vault;
  std::string as;
  std::string principal;
  std::vector<std::string> rights;
  bool all = false;
};
struct VaultAuditCommand {
  std::string vault;
  std::string as;
  std::size_t limit = 50;
};
// Keys and secrets are named NAME or VAULT/NAME.
struct KeyCreateCommand {
  std::string key;
  std::string as;
  std::string type;  // empty: X25519, or what the vault makes
};
struct KeyRotateCommand {
  std::string key;
  std::string as;
  bool keep_wrapped = false;
};
struct KeyImportCommand {
  std::string disk;  // MACHINE/DISK
  std::string from;  // a file or "-"
  std::string type;  // empty: found out
  std::string secret;
  std::string as;
};
struct KeyListCommand {
  std::string vault;  // empty: all
  std::string as;
};
struct KeyShowCommand {
  std::string name;
  std::string as;
};
struct KeyDeleteCommand {
  std::string name;
  std::string as;
  bool yes = false;
};
struct KeyRestoreCommand {
  std::string point;
  std::string vault;
  std::string disk;  // empty: all
  std::string as;
};
struct KeyExportCommand {
  std::string what;    // MACHINE/DISK: from the vault; MACHINE@POINT: from the recovery point
  std::string disk;    // of MACHINE@POINT; empty: its only encrypted one
  std::string secret;  // which BEK of the disk, when it has several
  std::string to;      // a new file or "-"
  std::string as;
};
struct KeyDrillCommand {
  std::string point;  // empty: the newest of every machine
};
struct VerifyCommand {
  bool proof = false;
  double data_percent = 0;
  bool keyless = false;
  bool repair = false;
  std::string from;  // with repair: a copy of the store; empty: none
  bool accept_gaps = false;
  std::uint64_t rate = 0;  // bytes a second; 0: no limit
  std::string what;        // empty: all points; a machine; MACHINE@POINT
};
struct PruneCommand {
  std::string machine;  // empty: all
  bool dry_run = false;
  bool accept_clock = false;
  bool accept_damage = false;
  std::uint64_t rate = 0;  // bytes a second; 0: no limit
};
struct DeleteCommand {
  std::vector<std::string> points;
  bool yes = false;
};
struct UndeleteCommand {
  std::vector<std::string> points;
};
struct ProtectCommand {
  std::string point;
  std::optional<UtcTime> until;
  bool off = false;
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

using Command =
    std::variant<HelpCommand, VersionCommand, StoreInitCommand, StoreInfoCommand, RebuildIndexCommand,
                 StoreRecoverCommand, KeysListCommand, KeysAddCommand, KeysRemoveCommand, ConfigCheckCommand,
                 BackupCommand, PointsCommand, MountCommand, UmountCommand, RestoreCommand, VaultInitCommand,
                 VaultListCommand, VaultPolicyCommand, VaultGrantCommand, VaultRevokeCommand, VaultAuditCommand,
                 KeyCreateCommand, KeyRotateCommand, KeyImportCommand, KeyListCommand, KeyShowCommand, KeyDeleteCommand,
                 KeyRestoreCommand, KeyExportCommand, KeyDrillCommand, VerifyCommand, PruneCommand, DeleteCommand,
                 UndeleteCommand, ProtectCommand, StatusCommand, JobsCommand, JobsCancelCommand, ExplainCommand,
                 CompleteCommand>;

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
  enum class Kind { none, words, machines, points, machines_or_points, deleted_points, error_names, files };
  Kind kind = Kind::none;
  std::vector<std::string> words;       // commands and options, those that begin as typed
  std::filesystem::path settings_file;  // --config among the words before; empty: none
};
Completion completion_of(const std::vector<std::string>& words);

// Every command as typed ("store keys add"), for tests and the completion.
std::vector<std::string> command_names();

}  // namespace cairn::cli
