// Prompts: questions on the terminal, secrets typed without echo, and recovery keys written where they are asked for.
// One thread at a time.
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>

#include "config/base/result.h"
#include "crypto/secret_bytes.h"

namespace cairn::cli {

// From /dev/tty, without echo, less the newline. Errors: used_wrongly (no terminal), cancelled (end of input).
Result<SecretBytes> ask_secret(const std::string& prompt);
// All of standard input (8 KiB at most); when that is a terminal, one line without echo.
// Errors: key_file_invalid (nothing, or too much), io_error.
Result<SecretBytes> read_secret_from_input(const std::string& prompt);
// Asks on the terminal; true: yes. Without a terminal on standard input there is nobody to ask: true.
bool confirm(const std::string& question);

// The recovery key and a newline in a new file of mode 0600. Errors: target_exists, io_error, permission_denied,
// no_space.
Result<void> write_recovery_key_file(const std::string& path, const SecretBytes& text);
// The same on standard output, after what was printed already; past the buffers of stdio, which nobody wipes.
Result<void> print_recovery_key_text(const SecretBytes& text);

}  // namespace cairn::cli
