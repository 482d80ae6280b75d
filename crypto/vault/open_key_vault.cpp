// SPDX-License-Identifier: GPL-3.0-or-later
#include <sys/stat.h>

#include <cerrno>

#include "crypto/unlock_key.h"
#include "crypto/vault/key_vault.h"
#include "crypto/vault/local_vault.h"

namespace cairn {
namespace {

Result<std::unique_ptr<KeyVault>> open_local(const std::string& name, const KeyVaultSettings& settings,
                                             const std::string& principal) {
  // Before a passphrase command is run for a vault that is not there.
  struct stat facts{};
  if (::lstat(settings.path.c_str(), &facts) != 0 && errno == ENOENT)
    return fail(ErrorCode::vault_missing, "open key vault", name, settings.path.string() + " does not exist");
  CAIRN_TRY(const UnlockKey key, read_unlock_key(settings.key));
  CAIRN_TRY(std::unique_ptr<LocalVault> vault, LocalVault::open(name, settings.path, key, principal));
  return vault;
}

}  // namespace

Result<std::unique_ptr<KeyVault>> open_key_vault(const std::string& name, const KeyVaultSettings& settings,
                                                 const std::string& principal) {
  const std::string& as = principal.empty() ? settings.principal : principal;
  switch (settings.provider) {
    case KeyVaultSettings::Provider::local:
      return open_local(name, settings, as);
    // One case for each further provider.
    case KeyVaultSettings::Provider::pkcs11:
    case KeyVaultSettings::Provider::command:
      break;
  }
  return fail(ErrorCode::not_supported_yet, "open key vault", name, "its provider is not supported yet");
}

}  // namespace cairn
