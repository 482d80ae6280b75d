// SPDX-License-Identifier: GPL-3.0-or-later
// The file of a local vault: bytes to values and back. Everything is authenticated before anything of it is used.
// Bytes: crypto/vault/VAULT.md "vault". Pure. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "crypto/key_slots.h"
#include "crypto/vault/kek_backup.h"
#include "crypto/vault/local/vault_contents.h"

namespace cairn {

inline constexpr std::size_t kMaxVaultFile = std::size_t{64} * 1024 * 1024;

// Every key that is derived from the vault's master key: libsodium crypto_kdf (BLAKE2b), context "cairn-kv".
struct VaultKeys {
  explicit VaultKeys(const SecretBytes& master_key);
  SecretBytes document;        // seals the document
  SecretBytes private_halves;  // seals the private halves of KEKs in it
  SecretBytes audit;           // chains the audit log
};

// What stands in the clear.
struct VaultHeader {
  std::array<std::uint8_t, 16> id{};  // random
  std::vector<KeySlot> slots;         // of the vault's master key
};

// Errors: vault_damaged (no vault, or any byte altered; `object`, the file, and what is wrong), vault_too_new.
Result<VaultHeader> read_vault_header(ByteView file, const std::string& object);
// The same, and the sealed part. `file` must be the one that the keys were made for, or it is vault_damaged.
Result<VaultContents> open_vault_file(ByteView file, const VaultKeys& keys, const std::string& object);
// Errors: used_wrongly: it would be over kMaxVaultFile.
Result<Buffer> seal_vault_file(const VaultHeader& header, const VaultContents& contents, const VaultKeys& keys,
                               const std::string& object);

// A KEK as it is kept in the document: bound to the vault, its name and version.
Buffer seal_kek(const Kek& kek, const VaultKeys& keys, const VaultHeader& header, const std::string& name,
                VersionNumber version);
// Errors: vault_damaged.
Result<Kek> open_kek(ByteView sealed, const VaultKeys& keys, const VaultHeader& header, const std::string& name,
                     VersionNumber version, const std::string& object);

}  // namespace cairn
