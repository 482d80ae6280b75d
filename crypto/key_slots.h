// SPDX-License-Identifier: GPL-3.0-or-later
// Key slots: the store's master key, wrapped once for each key that may open the store: passphrase (Argon2id, RFC
// 9106), key file, recovery key (X25519 sealed box, its secret half is printed and kept on paper). Bytes:
// fs/store/FORMAT.md "store.json". Any thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/bytes.h"
#include "config/base/clock.h"
#include "config/base/result.h"
#include "crypto/secret_bytes.h"

namespace cairn {

inline constexpr std::size_t kMasterKeyBytes = 32;

enum class KeySlotType { passphrase, key_file, recovery };
std::string_view to_string(KeySlotType type);  // "passphrase", "key-file", "recovery"

// What opens a store. For recovery: the 32-byte X25519 secret half.
struct UnlockKey {
  KeySlotType type = KeySlotType::key_file;
  SecretBytes secret;
  std::string source;  // for messages: the file it came from
};

// Argon2id cost. The defaults take about 0.5 s and 256 MiB.
struct PassphraseCost {
  std::uint64_t operations = 3;
  std::uint64_t memory_bytes = 256ULL * 1024 * 1024;
};

struct NewKeySlot {
  KeySlotType type = KeySlotType::key_file;
  std::string label;
  SecretBytes secret;      // passphrase or key file bytes; empty for recovery
  Buffer recovery_public;  // recovery: 32 bytes, X25519
  PassphraseCost cost;
};

// A slot as users see it.
struct KeySlotFactsRow {
  std::string id;  // 8 hex digits
  KeySlotType type{};
  std::string label;
  UtcTime created;
};

// A slot as stored.
struct KeySlot {
  KeySlotFactsRow facts;
  Buffer salt;             // 16 bytes, passphrase and key file
  PassphraseCost cost;     // passphrase
  Buffer recovery_public;  // recovery
  Buffer wrapped;          // nonce and sealed master key, or sealed box
};

// Wraps the master key. Errors: used_wrongly (an empty passphrase, a key file under 32 bytes).
Result<KeySlot> make_key_slot(const SecretBytes& master_key, const NewKeySlot& slot, UtcTime now);
// Tries all slots of the key's type. Errors: wrong_key. Takes at most the time of its passphrase slots.
Result<SecretBytes> open_key_slots(std::span<const KeySlot> slots, const UnlockKey& key, const std::string& object);

nlohmann::json to_json(const KeySlot& slot);
// Errors: store_damaged. Refuses costs that no store of Cairn's has (over 4 GiB of memory, over 64 operations).
Result<KeySlot> key_slot_from_json(const nlohmann::json& document, const std::string& object);

// Key files: 32 random bytes as 64 hex digits and a newline, mode 0600. Folders above it that are not there are made,
// mode 0700.
// Errors: target_exists, io_error.
Result<void> create_key_file(const std::string& path);
inline constexpr std::size_t kMaxKeyFileBytes = 8192;
struct KeyFileRules {
  std::size_t longest = kMaxKeyFileBytes;
  bool any_mode = false;  // the administrator says that it does not matter who else may read it
  // What can be done where the file system has no modes (FAT, NTFS), for the message.
  std::string without_modes = "copy it to a file system that has them";
};
// Reads a key or passphrase file. Errors: key_file_missing, key_file_permissions (others than the owner may read or
// write it, or the owner is neither root nor this user), key_file_invalid (empty, or over `longest` bytes).
Result<SecretBytes> read_key_file(const std::string& path, const KeyFileRules& rules = {});

// A printable recovery key: "CAIRN-RECOVERY-" and groups of base32 (RFC 4648) with a checksum.
struct RecoveryKeyPair {
  SecretBytes secret;  // 32 bytes
  Buffer public_half;  // 32 bytes
};
RecoveryKeyPair make_recovery_key();
SecretBytes print_recovery_key(const SecretBytes& secret);  // text without newline
// Spaces, dashes of every kind, case, line ends and a byte order mark do not matter; 0 is taken for O and 1 for I, which
// look alike on paper. Errors: key_file_invalid; the message names the group that is wrong, as far as the one checksum
// of all groups tells (a second of work).
Result<SecretBytes> parse_recovery_key(ByteView text, const std::string& object);

}  // namespace cairn
