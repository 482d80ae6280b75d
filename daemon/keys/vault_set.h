// SPDX-License-Identifier: GPL-3.0-or-later
// VaultSet: the key vaults that one piece of work uses, each opened when first asked for. One thread at a time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "config/base/result.h"
#include "config/settings.h"
#include "crypto/vault/key_vault.h"

namespace cairn {

struct OpenedVault {
  std::unique_ptr<KeyVault> vault;
  bool escrow_beks = true;  // KeyVaultSettings::escrow_beks
};
// Opens the vault of that name. Errors: vault_missing (none is declared), those of open_key_vault.
using OpenVault = std::function<Result<OpenedVault>(const std::string& name)>;

// The vaults of the settings, as `principal` (empty: each as the principal that the settings name for it).
OpenVault vaults_of(std::shared_ptr<const Settings> settings, std::string principal = {});

class VaultSet {
 public:
  explicit VaultSet(OpenVault open) : open_(std::move(open)) {}
  // Lives as long as the set. A vault that did not open is not tried again.
  Result<const OpenedVault*> open(const std::string& name);

 private:
  OpenVault open_;
  std::map<std::string, Result<OpenedVault>> opened_;
};

}  // namespace cairn
