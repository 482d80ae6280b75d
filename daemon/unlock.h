// Unlocking: reads the key that the settings name for the store. Any thread.
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "config/settings.h"
#include "crypto/key_slots.h"

namespace cairn {

// key_file: the file's bytes. passphrase_file: its bytes less one newline at the end. passphrase_command: the standard
// output of the command, less one newline at the end.
// `stop_fd`: see run_passphrase_command.
// Errors: those of read_key_file, passphrase_command_failed, cancelled, settings_invalid (no key is named).
Result<UnlockKey> read_unlock_key(const KeySettings& settings, int stop_fd = -1);

// Runs `argv` (no shell; found through PATH) with /dev/null as input and returns its standard output less one newline.
// Errors: passphrase_command_failed: cannot be run, ended with an error (the start of its standard error is told),
// wrote nothing or over 8 KiB, or took longer than `at_most` (it is killed); cancelled: `stop_fd` became readable (a
// signal for the daemon; nothing is read from it, -1: there is none), and the command was killed.
Result<SecretBytes> run_passphrase_command(const std::vector<std::string>& argv,
                                           std::chrono::milliseconds at_most = std::chrono::seconds(30),
                                           int stop_fd = -1);

}  // namespace cairn
