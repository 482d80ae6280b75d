// SPDX-License-Identifier: GPL-3.0-or-later
// The table of all commands. A command is added with its file, and with its name in both lists here. It is a table by
// name, and not variables that register themselves: the linker drops a file of a static library that nobody names.
#include "daemon/cli/commands/registry.h"

namespace cairn::cli {

// One in each command's file; "store init" is in store_init.cpp, the commands of a family may share a file.
CommandSpec store_init_command();
CommandSpec store_info_command();
CommandSpec store_rebuild_index_command();
CommandSpec store_accept_rollback_command();
CommandSpec store_recover_command();
CommandSpec store_keys_list_command();
CommandSpec store_keys_add_command();
CommandSpec store_keys_remove_command();
CommandSpec config_check_command();
CommandSpec machine_list_command();
CommandSpec backup_command();
CommandSpec points_command();
CommandSpec mount_command();
CommandSpec umount_command();
CommandSpec restore_command();
CommandSpec prune_command();
CommandSpec delete_command();
CommandSpec undelete_command();
CommandSpec protect_command();
CommandSpec vault_init_command();
CommandSpec vault_list_command();
CommandSpec vault_policy_command();
CommandSpec vault_grant_command();
CommandSpec vault_revoke_command();
CommandSpec vault_audit_command();
CommandSpec key_create_command();
CommandSpec key_rotate_command();
CommandSpec key_import_command();
CommandSpec key_list_command();
CommandSpec key_show_command();
CommandSpec key_delete_command();
CommandSpec key_restore_command();
CommandSpec key_export_command();
CommandSpec key_drill_command();
CommandSpec verify_command();
CommandSpec status_command();
CommandSpec jobs_command();
CommandSpec jobs_cancel_command();
CommandSpec explain_command();
CommandSpec version_command();
CommandSpec help_command();
CommandSpec complete_command();
CommandSpec man_command();

namespace {

// What only leads to commands.
CommandSpec group(std::string words, std::string summary) {
  CommandSpec spec;
  spec.words = std::move(words);
  spec.summary = std::move(summary);
  return spec;
}

}  // namespace

const Commands& all_commands() {
  static const Commands kCommands{
      group("store", "Make and look after the store"),
      store_init_command(),
      store_info_command(),
      store_rebuild_index_command(),
      store_accept_rollback_command(),
      store_recover_command(),
      group("store keys", "The keys that open the store"),
      store_keys_list_command(),
      store_keys_add_command(),
      store_keys_remove_command(),
      group("config", "The settings"),
      config_check_command(),
      group("machine", "The machines of this host"),
      machine_list_command(),
      backup_command(),
      points_command(),
      mount_command(),
      umount_command(),
      restore_command(),
      prune_command(),
      delete_command(),
      undelete_command(),
      protect_command(),
      group("vault", "The key vaults: who may do what in them"),
      vault_init_command(),
      vault_list_command(),
      vault_policy_command(),
      vault_grant_command(),
      vault_revoke_command(),
      vault_audit_command(),
      group("key", "The keys of encrypted disks: BEKs that open them, KEKs that wrap BEKs"),
      key_create_command(),
      key_rotate_command(),
      key_import_command(),
      key_list_command(),
      key_show_command(),
      key_delete_command(),
      key_restore_command(),
      key_export_command(),
      key_drill_command(),
      verify_command(),
      status_command(),
      jobs_command(),
      jobs_cancel_command(),
      explain_command(),
      version_command(),
      help_command(),
      complete_command(),
      man_command(),
  };
  return kCommands;
}

}  // namespace cairn::cli
