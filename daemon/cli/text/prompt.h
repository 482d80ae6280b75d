// SPDX-License-Identifier: GPL-3.0-or-later
// Prompts: questions on the terminal, secrets typed without echo, and recovery keys written where they are asked for.
// One thread at a time.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "config/base/result.h"
#include "crypto/secret_bytes.h"

namespace cairn::cli {

// From /dev/tty, without echo, less the newline. Errors: used_wrongly (no terminal), cancelled (end of input).
Result<SecretBytes> ask_secret(const std::string& prompt);
// All of standard input (`longest` bytes at most); when that is a terminal, one line without echo.
// Errors: key_file_invalid (nothing, or too much), io_error.
Result<SecretBytes> read_secret_from_input(const std::string& prompt, std::size_t longest = std::size_t{8} * 1024);
bool is_terminal(int fd);
// Asks on the terminal whether to go on with what cannot be taken back: `doing` and `object` are for the error's
// message, as in Error. `yes`: the answer was given on the command line (--yes), nobody is asked.
// Errors: used_wrongly (there is no terminal to ask on), cancelled (the answer was no).
Result<void> confirm(const std::string& question, bool yes, const std::string& doing, const std::string& object);

// The secret and `ending` in a new file of mode 0600, durable; nothing is left of it when that fails. Errors:
// target_exists, io_error, permission_denied, no_space.
Result<void> write_secret_file(const std::string& path, const SecretBytes& secret, std::string_view ending);
// The same on standard output, after what was printed already; past the buffers of stdio, which nobody wipes.
Result<void> print_secret(const SecretBytes& secret, std::string_view ending);

}  // namespace cairn::cli
