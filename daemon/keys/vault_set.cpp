// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/keys/vault_set.h"
#include "crypto/vault/open/open_key_vault.h"

#include <utility>
#include <vector>

namespace cairn {

OpenVault vaults_of(std::shared_ptr<const Settings> settings, std::string principal) {
  return [settings = std::move(settings),
          principal = std::move(principal)](const std::string& name) -> Result<OpenedVault> {
    const auto found = settings->key_vaults.find(name);
    if (found == settings->key_vaults.end()) {
      std::vector<std::string> names;
      for (const auto& entry : settings->key_vaults) names.push_back(entry.first);
      const auto nearest = nearest_name(name, names);
      return fail(ErrorCode::vault_missing, "open key vault", name,
                  "the settings " + settings->file.string() + " declare no vault of that name" +
                      (nearest ? "; did you mean \"" + *nearest + "\"?" : ""),
                  "declare it under key_vaults");
    }
    CAIRN_TRY(auto vault, open_key_vault(name, found->second, principal));
    return OpenedVault{std::move(vault), found->second.escrow_beks};
  };
}

Result<const OpenedVault*> VaultSet::open(const std::string& name) {
  auto found = opened_.find(name);
  if (found == opened_.end()) found = opened_.emplace(name, open_(name)).first;
  if (!found->second) return pass_on(found->second.error());
  return &*found->second;
}

}  // namespace cairn
