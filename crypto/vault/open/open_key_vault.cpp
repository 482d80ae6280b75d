// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/open/open_key_vault.h"

#include <sys/stat.h>

#include <cerrno>

#include "crypto/unlock_key.h"
#include "crypto/vault/command/command_vault.h"
#include "crypto/vault/local/local_vault.h"
#include "crypto/vault/pkcs11/pkcs11_vault.h"

namespace cairn {
namespace {

Result<std::unique_ptr<LocalVault>> open_local(const std::string& name, const KeyVaultSettings& settings,
                                               const std::string& principal) {
  // Before a passphrase command is run for a vault that is not there.
  struct stat facts{};
  if (::lstat(settings.path.c_str(), &facts) != 0 && errno == ENOENT)
    return fail(ErrorCode::vault_missing, "open key vault", name, settings.path.string() + " does not exist");
  CAIRN_TRY(const UnlockKey key, read_unlock_key(settings.key));
  return LocalVault::open(name, settings.path, key, principal);
}

}  // namespace

Result<std::unique_ptr<KeyVault>> open_key_vault(const std::string& name, const KeyVaultSettings& settings,
                                                 const std::string& principal) {
  const std::string& as = principal.empty() ? settings.principal : principal;
  switch (settings.provider) {
    case KeyVaultSettings::Provider::local: {
      CAIRN_TRY(std::unique_ptr<LocalVault> vault, open_local(name, settings, as));
      return vault;
    }
    case KeyVaultSettings::Provider::pkcs11: {
      CAIRN_TRY(std::unique_ptr<LocalVault> beside, open_local(name, settings, as));
      return open_pkcs11_vault(std::move(beside), settings);
    }
    case KeyVaultSettings::Provider::command:
      return make_command_vault(name, settings);
  }
  return fail(ErrorCode::internal, "open key vault", name, "its provider is none");
}

}  // namespace cairn
