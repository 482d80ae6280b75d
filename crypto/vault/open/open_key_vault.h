// SPDX-License-Identifier: GPL-3.0-or-later
// Opening a key vault: the one place that knows every provider. Any thread.
#pragma once

#include <memory>
#include <string>

#include "crypto/vault/key_vault.h"

namespace cairn {

// Opens the vault as `principal` (empty: the settings' one). `name` is its name in the settings.
// Errors: vault_missing, vault_damaged, vault_too_new, vault_permissions, vault_wrong_key, those of read_unlock_key,
// hsm_unavailable, hsm_pin_wrong, hsm_token_locked. That the principal has no rights shows with the calls.
Result<std::unique_ptr<KeyVault>> open_key_vault(const std::string& name, const KeyVaultSettings& settings,
                                                 const std::string& principal = {});

}  // namespace cairn
