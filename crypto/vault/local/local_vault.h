// SPDX-License-Identifier: GPL-3.0-or-later
// LocalVault: the embedded key vault: one directory, sealed under its own key file or passphrase. Bytes, write order
// and locks: crypto/vault/VAULT.md. Any thread, any number of processes.
#pragma once

#include <cstdint>
#include <filesystem>

#include "crypto/key_slots.h"
#include "crypto/vault/key_vault.h"
#include "crypto/vault/local/audit_entry.h"
#include "crypto/vault/local/vault_system.h"

namespace cairn {

class LocalVault : public KeyVault {
 public:
  // Makes the vault in the empty or new directory `path` (0700), with `administrator` as its first principal (template
  // admin) and `service` with the template backup. `clock` dates what is made.
  // Errors: vault_exists, target_missing (the parent), permission_denied, no_space. Nothing half-made stays.
  static Result<void> create(const std::filesystem::path& path, const NewKeySlot& key, const std::string& administrator,
                             const std::string& service, const Clock& clock = system_clock(),
                             VaultSystem& system = real_vault_system());
  // Errors: those of open_key_vault. `clock` and `system` must outlive the vault.
  static Result<std::unique_ptr<LocalVault>> open(std::string name, const std::filesystem::path& path,
                                                  const UnlockKey& key, std::string principal,
                                                  const Clock& clock = system_clock(),
                                                  VaultSystem& system = real_vault_system());

  // Rights: policy:get; policy:set.
  virtual Result<AccessPolicy> policy() = 0;
  virtual Result<void> grant(const std::string& principal, const Rights& rights) = 0;
  // Errors: no_such_principal, last_administrator.
  virtual Result<void> revoke(const std::string& principal, const Rights& rights) = 0;
  // Right: policy:get. The last `limit` entries, oldest first; the chain is checked from the first. Errors:
  // audit_damaged.
  virtual Result<std::vector<AuditEntry>> audit(std::size_t limit) = 0;
  // For a provider that keeps keys elsewhere (pkcs11): checks a right and writes the audit entry, as every call does.
  virtual Result<void> authorise(Right right, const std::string& object) = 0;
};

}  // namespace cairn
