// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/work/vault_choice.h"
#include "crypto/vault/open/open_key_vault.h"

#include <vector>

#include "config/base/text.h"
#include "crypto/unlock_key.h"

namespace cairn::cli {
namespace {

std::vector<std::string> names_of(const Settings& settings) {
  std::vector<std::string> names;
  for (const auto& entry : settings.key_vaults) names.push_back(entry.first);
  return names;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

std::string principal_or_admin(const std::string& as) {
  return as.empty() ? "admin" : as;
}

Result<std::string> choose_vault(const Settings& settings, const std::string& given) {
  const std::vector<std::string> names = names_of(settings);
  if (names.empty())
    return fail(ErrorCode::vault_missing, "open key vault", given,
                "the settings " + settings.file.string() + " declare no vault", "declare one under key_vaults");
  if (given.empty()) {
    if (names.size() == 1) return names.front();
    return fail(ErrorCode::used_wrongly, "choose a key vault", {}, "the settings declare several: " + listed(names),
                "name one with --vault");
  }
  if (settings.key_vaults.contains(given)) return given;
  const auto nearest = nearest_name(given, names);
  return fail(ErrorCode::vault_missing, "open key vault", given,
              "the settings " + settings.file.string() + " declare only: " + listed(names),
              nearest ? "did you mean \"" + *nearest + "\"?" : "declare it under key_vaults");
}

Result<VaultReference> choose_name(const Settings& settings, const std::string& given, const std::string& vault) {
  const std::size_t slash = given.find('/');
  VaultReference reference;
  reference.name = slash == std::string::npos ? given : given.substr(slash + 1);
  if (!is_vault_name(reference.name) || slash == 0)
    return fail(ErrorCode::used_wrongly, "use the name", given, "it is no NAME or VAULT/NAME",
                "names are 1 to 127 of a-z A-Z 0-9 . _ -, beginning with a letter or digit");
  CAIRN_TRY(reference.vault, choose_vault(settings, slash == std::string::npos ? vault : given.substr(0, slash)));
  return reference;
}

Result<std::unique_ptr<KeyVault>> open_vault_as(const Settings& settings, const std::string& vault,
                                                const std::string& as) {
  return open_key_vault(vault, settings.key_vaults.at(vault), principal_or_admin(as));
}

Result<std::unique_ptr<LocalVault>> open_local_vault_as(const Settings& settings, const std::string& vault,
                                                        const std::string& as) {
  const KeyVaultSettings& from = settings.key_vaults.at(vault);
  if (from.provider == KeyVaultSettings::Provider::command)
    return fail(ErrorCode::not_supported_yet, "read the policy of key vault", vault,
                "a vault with provider command has a policy of its own", "use that vault's own tools");
  CAIRN_TRY(const UnlockKey key, read_unlock_key(from.key));
  return LocalVault::open(vault, from.path, key, principal_or_admin(as));
}

}  // namespace cairn::cli
