// SPDX-License-Identifier: GPL-3.0-or-later
// Unlock keys: reads the key or passphrase that the settings name for a store or a key vault. Any thread.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "config/settings.h"
#include "crypto/key_slots.h"

namespace cairn {

// key_file: the file's bytes. passphrase_file: see read_passphrase_file. passphrase_command: the standard output of the
// command, less one newline at the end.
// `stop_fd`: see SecretCommand.
// Errors: those of read_key_file, passphrase_command_failed, cancelled, settings_invalid (no key is named),
// memory_not_lockable.
Result<UnlockKey> read_unlock_key(const KeySettings& settings, int stop_fd = -1);

// The bytes of a file less one newline at the end: a passphrase, or an HSM's PIN. `doing` is for messages: "read
// passphrase". Errors: those of read_key_file; key_file_invalid when nothing is left.
Result<SecretBytes> read_passphrase_file(const std::string& path, const std::string& doing);

// Runs `argv` (secret_command.h) with /dev/null as input and returns its standard output less one newline.
// Errors: passphrase_command_failed (it wrote nothing, or over 8 KiB, besides what can go wrong with any command);
// cancelled.
Result<SecretBytes> run_passphrase_command(const std::vector<std::string>& argv,
                                           std::chrono::milliseconds at_most = std::chrono::seconds(30),
                                           int stop_fd = -1);

}  // namespace cairn
