// SPDX-License-Identifier: GPL-3.0-or-later
// Text: rules that all floors share about names and UTF-8. Pure. Any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cairn {

// Letters a-z A-Z, digits and . _ - only, beginning with a letter or digit; 1 to 255 bytes: safe as a file's name.
bool is_file_name(std::string_view name);
// A file name of at most 64 bytes: what machines, disks, policies and key vaults are called.
bool is_valid_name(std::string_view name);
// What secrets and keys in a vault are called: a file name of at most 127 bytes.
bool is_vault_name(std::string_view name);

// The text with A-Z as a-z; all other bytes stay as they are, whatever the locale.
std::string lower_ascii(std::string_view text);

// The length of the UTF-8 sequence at the start of `text`; 0: there is none (RFC 3629, table 3-7 of Unicode).
std::size_t utf8_length(std::string_view text);
// True when all of `text` is UTF-8.
bool is_utf8(std::string_view text);

}  // namespace cairn
