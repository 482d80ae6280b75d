// SPDX-License-Identifier: GPL-3.0-or-later
// Grammar: CLI11's description of all commands, with the places that its parser fills. What comes of a parsed command
// is the value that its `finish` makes. One thread at a time.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "daemon/cli/grammar/arguments.h"

namespace cairn::cli {

struct Grammar {
  CLI::App app{"Cairn backs up encrypted disks of virtual machines and gives every recovery point back as files.",
               "cairn"};
  std::string settings_file;
  GlobalOptions globals;
  bool version = false;

  std::vector<std::string> help_topics;
  StoreInitCommand store_init;
  std::string chunk_size;
  const CLI::Option* store_init_label = nullptr;
  KeysAddCommand keys_add;
  std::string key_file, passphrase_file;
  const CLI::Option* keys_add_label = nullptr;
  bool passphrase = false, recovery = false;
  KeysRemoveCommand keys_remove;
  BackupCommand backup;
  PointsCommand points;
  MountCommand mount;
  UmountCommand umount;
  RestoreCommand restore;
  JobsCommand jobs;
  std::string limit;
  JobsCancelCommand jobs_cancel;
  ExplainCommand explain;
  CompleteCommand complete;

  VaultInitCommand vault_init;
  VaultPolicyCommand vault_policy;
  VaultGrantCommand vault_grant;
  VaultRevokeCommand vault_revoke;
  VaultAuditCommand vault_audit;
  std::string audit_limit;
  KeyCreateCommand key_create;
  KeyRotateCommand key_rotate;
  KeyImportCommand key_import;
  KeyListCommand key_list;
  KeyShowCommand key_show;
  KeyDeleteCommand key_delete;
  KeyRestoreCommand key_restore;
  KeyExportCommand key_export;
  KeyDrillCommand key_drill;
  VerifyCommand verify;
  PruneCommand prune;
  std::string prune_rate;
  DeleteCommand delete_points;
  UndeleteCommand undelete;
  ProtectCommand protect;
  std::string protect_until;
  std::string verify_data, verify_rate;
  const CLI::Option* verify_data_given = nullptr;
  StoreRecoverCommand recover;

  std::map<const CLI::App*, std::function<Result<Command>()>> finish;  // the commands that can be run
  std::map<const CLI::Option*, Completion::Kind> completes;            // what stands in a positional or an option

  Grammar();
  CLI::App* add(CLI::App& parent, const char* name, const char* description, const char* footer,
                std::function<Result<Command>()> make);

 private:
  void add_globals();
  void add_store();
  void add_points();
  void add_service();
  // grammar_keys.cpp
  void add_vault();
  void add_key();
  // grammar_verify.cpp
  void add_verify();
  // grammar_retention.cpp
  void add_retention();
  void add_recover(CLI::App& store);
};

std::unexpected<Error> misuse(std::string doing, std::string because, std::string resolution = {});
// "cairn COMMAND": `what` is missing.
std::unexpected<Error> missing(const std::string& command, const std::string& what);

// The value of --rate: bytes a second, 0 when it is not given. Errors: used_wrongly.
Result<std::uint64_t> parse_rate(const std::string& text, const char* doing);
// The value of --limit: 1 to `most`. Errors: used_wrongly.
Result<std::size_t> parse_limit(const std::string& text, std::size_t most, const char* doing);

}  // namespace cairn::cli
