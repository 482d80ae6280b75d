// SPDX-License-Identifier: GPL-3.0-or-later
// One call on a local vault, from taking its lock to releasing it: what the vault holds now, checked; the audit entry;
// and the writing of what was changed. Order: crypto/vault/VAULT.md "Order of writing".
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "crypto/vault/local/audit_log.h"
#include "crypto/vault/local/vault_directory.h"
#include "crypto/vault/local/vault_file.h"

namespace cairn {

inline constexpr const char* kVaultName = "vault";
inline constexpr const char* kVaultTemporary = "vault.tmp";

// An open vault, as its calls share it. Constant but for `memory`, which one call at a time uses.
struct VaultAccess {
  std::filesystem::path path;
  std::array<std::uint8_t, 16> id{};
  VaultKeys keys;
  const Clock& clock;
  VaultSystem& system;
};

// What is in the file now, without any lock: it is replaced whole. Errors: those of open_key_vault.
struct VaultNow {
  VaultHeader header;
  VaultContents contents;
};
Result<VaultNow> read_vault(const VaultDirectory& directory, const VaultAccess& access);

class VaultSession {
 public:
  // `access` and `memory`, what is known of the audit log from call to call, must outlive this. `keep`: how many of the
  // audit log's last lines to keep; the log is then checked from its first. Errors: those that any call of a KeyVault
  // may have.
  static Result<std::unique_ptr<VaultSession>> begin(const VaultAccess& access, AuditLog::Memory& memory,
                                                     std::size_t keep = 0);

  [[nodiscard]] const VaultHeader& header() const { return now_.header; }
  [[nodiscard]] VaultContents& contents() { return now_.contents; }
  [[nodiscard]] const std::deque<std::string>& kept() const { return kept_; }

  // Durable on return.
  Result<void> record(const AuditEntry& entry);
  // Writes contents() and the entry: both or, at an error, nothing but an entry that says so.
  Result<void> commit(const AuditEntry& entry);

 private:
  VaultSession(const VaultAccess& access, VaultDirectory directory)
      : access_(access), directory_(std::move(directory)) {}

  const VaultAccess& access_;
  VaultDirectory directory_;
  std::optional<VaultLock> lock_;
  VaultNow now_;
  std::deque<std::string> kept_;
  std::optional<AuditLog> log_;
};

}  // namespace cairn
