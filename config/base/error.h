// SPDX-License-Identifier: GPL-3.0-or-later
// Errors: one value that says what failed, on which object, why, and what to do about it.
// The catalogue (error_catalogue_*.cpp) has an entry for every code; `cairn explain NAME` prints it. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cairn {

// Codes exist because someone acts on them. Names as users meet them stand in the catalogue.
enum class ErrorCode : std::uint16_t {
  // the call itself
  used_wrongly,
  internal,
  cancelled,
  io_error,
  no_space,
  permission_denied,
  out_of_memory,
  // what surrounds the process
  memory_not_lockable,
  helper_failed,
  no_proc,
  too_many_open_files,
  file_size_limit,
  journal_not_writable,
  too_many_requests,
  // settings
  settings_missing,
  settings_unreadable,
  settings_invalid,
  key_file_missing,
  key_file_permissions,
  key_file_invalid,
  passphrase_command_failed,
  not_supported_yet,
  // store
  store_missing,
  store_exists,
  not_a_store,
  store_too_new,
  store_damaged,
  store_locked,
  wrong_key,
  last_key_slot,
  no_such_key_slot,
  key_slot_exists,
  too_many_key_slots,
  wrong_file_type,
  object_missing,
  pack_damaged,
  chunk_damaged,
  chunk_missing,
  index_damaged,
  index_missing,
  index_outdated,
  map_damaged,
  point_damaged,
  object_exists,
  point_missing,
  no_such_machine,
  no_such_point,
  ambiguous_point,
  no_such_disk,
  // images and volumes
  image_missing,
  image_not_a_disk,
  image_unreadable,
  image_shrank,
  image_in_use,
  image_not_raw,
  image_format_changed,
  image_not_opened,
  image_damaged,
  image_encrypted,
  image_tool_missing,
  backing_file_not_named,
  backing_file_missing,
  image_chain_loop,
  nbd_server_failed,
  header_damaged,
  detached_header_unusable,
  header_partition_missing,
  header_file_missing,
  header_file_system,
  // mount
  no_fuse,
  mount_point_missing,
  mount_point_not_empty,
  mount_point_busy,
  not_mounted,
  mount_failed,
  // restore
  target_exists,
  target_missing,
  // daemon
  daemon_unreachable,
  daemon_running,
  daemon_failed,
  job_conflict,
  no_such_job,
  journal_damaged,
  shutting_down,
  interrupted,
  clone_not_kept,
  tracking_base_lost,
  tracking_wrong,
  // key vaults
  vault_missing,
  vault_exists,
  vault_damaged,
  vault_too_new,
  vault_permissions,
  vault_locked,
  vault_wrong_key,
  vault_denied,
  no_such_principal,
  last_administrator,
  audit_damaged,
  kek_missing,
  kek_exists,
  kek_wrong_type,
  secret_missing,
  secret_damaged,
  keys_differ,
  unwrap_failed,
  hsm_unavailable,
  hsm_pin_wrong,
  hsm_token_locked,
  hsm_failed,
  vault_command_failed,
  // keys of encrypted disks
  bek_invalid,
  bek_without_kek,
  bek_other_kek,
  bek_does_not_open,
  keys_missing,
  became_encrypted,
  keys_not_needed,
  encryption_unknown,
  volume_key_changed,
  key_slots_changed,
  unlock_costlier,
  keys_too_large,
  no_escrowed_keys,
  escrow_damaged,
  not_proved,
  no_such_header,
  header_differs,
  protection_suspended,
  key_in_use,
  // recovery points over time
  point_immutable,
  point_protected,
  point_not_deleted,
  point_deleted,
  point_in_use,
  clock_jumped,
  point_gap,
  store_rolled_back,
  // garbage collection, verify and repair
  collection_blocked,
  damage_known,
  damage_found,
  not_repaired,
  replica_differs,
  verify_late,
  space_reserved,
  unknown_error_name,
  // what a recovery point says of its making
  disk_torn,
  disk_suspect,
  volume_cut_off,
  point_in_future,
  disk_not_backed_up,
  disk_left_out,
  // guests
  guest_unreachable,
  guest_not_found,
  guest_busy,
  guest_silent,
  guest_bad_answer,
  guest_refused,
  guest_agent_missing,
  guest_library_missing,
  guest_helper_failed,
  guest_not_thawed,
  less_consistent,
};

// One failure. `doing` and `object` make the first half of the message, `because` and `resolution` the second; no
// secret ever goes into them.
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string doing;       // infinitive with its noun: "open store"
  std::string object;      // what it was done to: a path, machine@point, pack name
  std::string because;     // why, without the errno's text
  int sys_errno = 0;       // 0: no system call failed
  std::string resolution;  // empty: the catalogue's short one

  // "cannot open store /srv/s: locked by backup (pid 812); wait until it ends". One line.
  [[nodiscard]] std::string message() const;
  // The catalogue's name of the code: "store-locked".
  [[nodiscard]] std::string_view name() const;
};

// How a process ends: done; failed; called wrongly (nothing was tried); done, and there are warnings to read.
enum class ExitCode : int { done = 0, failed = 1, used_wrongly = 2, warnings = 3 };

// Whether an error's cause lies in the stored bytes: they are damaged or gone, and another try finds the same. All
// other errors may pass.
enum class Tells { nothing, damage };

// All that a code means, in one row: what people read, and what the interfaces make of it.
struct CatalogueEntry {
  ErrorCode code;
  std::string_view name;        // kebab-case, stable: scripts match on it
  std::string_view title;       // one line
  std::string_view detail;      // how it comes about
  std::string_view resolution;  // what to do, in full
  std::string_view hint;        // what to do, a few words; ends an error message
  int fuse_errno;               // what a reader of the mount gets
  int http_status = 500;        // what the control API answers with
  Tells tells = Tells::nothing;
};

// A name that an error had in an earlier version, and the one it has now.
struct FormerErrorName {
  std::string_view former;
  std::string_view name;
};

std::span<const CatalogueEntry> error_catalogue();
const CatalogueEntry& catalogue_entry(ErrorCode code);
// Former names are found too: the entry then has another name. nullptr: there is none.
const CatalogueEntry* find_catalogue_entry(std::string_view name);
std::span<const FormerErrorName> former_error_names();

// The errno a system interface (FUSE) answers with for this error; never 0.
int to_errno(const Error& error);
// The status of the control API's answer.
int to_http_status(const Error& error);
// For who salvages or reports damage: CatalogueEntry::tells.
bool is_damage_error(const Error& error);
ExitCode to_exit_code(const Error& error);
// The code that an errno stands for where the caller has no better one: ENOSPC, EACCES, ...
ErrorCode code_of_errno(int sys_errno);

// The name nearest to `wanted` if it is near enough to be a slip of the fingers (edit distance).
std::optional<std::string> nearest_name(std::string_view wanted, std::span<const std::string> names);

}  // namespace cairn
