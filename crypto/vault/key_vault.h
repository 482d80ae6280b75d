// SPDX-License-Identifier: GPL-3.0-or-later
// KeyVault: where KEKs and wrapped BEKs live. Three providers (local_vault.h, pkcs11_vault.h, command_vault.h) and the
// fake of the tests pass one contract suite (tests/crypto/vault/contract.h).
//
// Every call acts as the principal that the vault was opened for, is checked against the access policy where the vault
// has one, and is audited there: vault_denied names the right, the object and the command that grants it.
// Errors that any call may have: vault_damaged, vault_permissions, vault_locked, vault_denied, audit_damaged, hsm_*,
// vault_command_failed, io_error, no_space. A call that fails has changed nothing. Any thread.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/settings.h"
#include "crypto/escrow.h"
#include "crypto/secret_bytes.h"
#include "crypto/vault/access_policy.h"
#include "crypto/vault/wrapped_bek.h"

namespace cairn {

enum class KekType { x25519, rsa_3072, rsa_4096 };
std::string_view to_string(KekType type);                      // "X25519", "RSA-3072", "RSA-4096"
std::optional<KekType> parse_kek_type(std::string_view text);  // in any case

struct VersionFacts {
  std::string version;  // "1", "2", ... or what the vault calls it
  std::optional<UtcTime> created;
};
struct KekFacts {
  std::string name;
  std::string type;                    // as to_string(KekType), or what the vault says
  std::vector<VersionFacts> versions;  // oldest first; the last one wraps
};
struct SecretVersionFacts : VersionFacts {
  BekType type = BekType::luks_key_file;
  std::string file_name;
  std::string kek;
  std::string kek_version;
};
struct SecretFacts {
  std::string name;
  std::vector<SecretVersionFacts> versions;  // oldest first; the last one is in force
};

// A secret's newest version.
struct StoredBek {
  std::string version;
  WrappedBek bek;
};

// One version of a KEK as it leaves the vault: sealed for the store's owners, never in the clear.
struct KekBackup {
  std::string name;
  std::string version;
  std::string type;
  std::optional<UtcTime> created;
  // True: Cairn can use it without the vault (kek_backup.h). False: only a vault of the same make can.
  bool portable = false;
  Buffer sealed;  // seal_escrow(), context escrow_context()
  [[nodiscard]] std::string escrow_context() const { return "kek " + name + " " + version; }
};

// What restoring one thing came to.
enum class Restored { put_back, was_there };

class KeyVault {
 public:
  virtual ~KeyVault() = default;
  KeyVault() = default;
  KeyVault(const KeyVault&) = delete;
  KeyVault& operator=(const KeyVault&) = delete;

  // The name in the settings ("main"), for messages.
  [[nodiscard]] virtual const std::string& name() const = 0;
  // As whom it acts.
  [[nodiscard]] virtual const std::string& principal() const = 0;
  // False: backups of its KEKs cannot be used without the vault, so points hold the BEK too, sealed for the owners.
  [[nodiscard]] virtual bool keks_are_portable() const = 0;

  // Which of these rights the principal lacks. Vaults without a policy of their own to ask: none.
  virtual Result<std::vector<Right>> missing_rights(std::span<const Right> rights) = 0;

  // Keys. Rights: list; get; create; create (rotating too); delete.
  virtual Result<std::vector<KekFacts>> list_keks() = 0;
  // Errors: kek_missing, with the nearest name.
  virtual Result<KekFacts> get_kek(const std::string& kek) = 0;
  // Errors: kek_exists, kek_wrong_type (this vault makes no such keys), not_supported_yet.
  virtual Result<KekFacts> create_kek(const std::string& kek, KekType type) = 0;
  // A new version of the same type; the old ones stay. Errors: kek_missing, not_supported_yet.
  virtual Result<KekFacts> rotate_kek(const std::string& kek) = 0;
  // Errors: kek_missing, not_supported_yet.
  virtual Result<void> delete_kek(const std::string& kek) = 0;

  // Right: wrap. With the newest version. Errors: kek_missing.
  virtual Result<Wrapped> wrap(const std::string& kek, const SecretBytes& bek) = 0;
  // Right: unwrap. Errors: kek_missing (also the version), kek_wrong_type (the algorithm is another kind of key's),
  // unwrap_failed.
  virtual Result<SecretBytes> unwrap(const std::string& kek, const Wrapped& wrapped) = 0;

  // Right: backup. Errors: kek_missing, not_supported_yet (this vault never gives them out).
  virtual Result<KekBackup> backup_kek(const std::string& kek, const std::string& version,
                                       std::span<const EscrowOwner> owners) = 0;
  // Right: restore. `backup` is portable; `owner` opens its seal. Puts the version where it belongs among the others.
  // Errors: keys_differ, escrow_damaged, kek_wrong_type, not_supported_yet.
  virtual Result<Restored> restore_kek(const KekBackup& backup, const EscrowKeys& owner) = 0;

  // Secrets. Rights: list; get; set; restore; delete.
  virtual Result<std::vector<SecretFacts>> list_secrets() = 0;
  // Errors: secret_missing, with the nearest name; secret_damaged.
  virtual Result<StoredBek> get_secret(const std::string& secret) = 0;
  // A new version; the old ones stay. Its number. Errors: not_supported_yet.
  virtual Result<std::string> set_secret(const std::string& secret, const WrappedBek& bek) = 0;
  // Errors: keys_differ (that version is there and is another), not_supported_yet.
  virtual Result<Restored> restore_secret(const std::string& secret, const StoredBek& bek) = 0;
  // Errors: secret_missing, not_supported_yet.
  virtual Result<void> delete_secret(const std::string& secret) = 0;
};

}  // namespace cairn
