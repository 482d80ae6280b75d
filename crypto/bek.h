// SPDX-License-Identifier: GPL-3.0-or-later
// BEKs: the secrets that open encrypted disks, and what can be said about their form without a disk. Pure. Any thread.
// Sources: cryptsetup FAQ 2.4 (key files), libbde "BitLocker Drive Encryption (BDE) format" (.BEK files, recovery
// passwords); VOLUMES.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "crypto/secret_bytes.h"

namespace cairn {

enum class BekType : std::uint8_t {
  luks_key_file,                // bytes as they are, a newline at the end included
  luks_passphrase,              // the same, typed
  bitlocker_startup_key,        // a .BEK file
  bitlocker_recovery_password,  // eight groups of six digits
  bitlocker_password,
};
std::string_view to_string(BekType type);  // "luks-key-file", "luks-passphrase", "bitlocker-startup-key", ...
std::optional<BekType> parse_bek_type(std::string_view text);
inline bool is_bitlocker(BekType type) {
  return type >= BekType::bitlocker_startup_key;
}

// cryptsetup's own limit for key files (--keyfile-size-max), bytes.
inline constexpr std::size_t kMaxBekBytes = std::size_t{8} * 1024 * 1024;

// What `bek` looks like, for a BitLocker volume: a .BEK file, a recovery password or a text with one in it (the file
// that Windows saves, UTF-16 too), else a password.
BekType bitlocker_bek_type(const SecretBytes& bek);
// The recovery passwords in a text, without mistyped groups and each once, as normal_bek() gives them.
std::vector<SecretBytes> recovery_passwords_in(const SecretBytes& text);

// `bek` as it is stored and tried: a recovery password as eight groups with dashes, taken out of the text around it; a
// passphrase or password less one newline at its end, files as they are. `object` names it in errors. Other ways to
// read what was given: bek_readings.h.
// Errors: bek_invalid: empty, over kMaxBekBytes, a .BEK file that is cut off or damaged (the message says what), a
// recovery password of which a group is wrong (the message says which: each is a multiple of 11 below 720896, its last
// digit is the check digit), a text with several.
Result<SecretBytes> normal_bek(BekType type, SecretBytes bek, const std::string& object);

// The identifier in a .BEK file, as Windows names the file ("4381F759-C4F8-4DE0-BB61-FC33A831BDA5"). Errors:
// bek_invalid.
Result<std::string> startup_key_id(const SecretBytes& bek, const std::string& object);

}  // namespace cairn
