// SPDX-License-Identifier: GPL-3.0-or-later
// Pkcs11Vault: KEKs in an HSM, used through its PKCS #11 library; secrets, policy and audit log in a local vault beside
// it. What lies in the HSM: crypto/vault/pkcs11/HSM.md. Any thread.
#pragma once

#include <memory>

#include "crypto/vault/local/local_vault.h"

namespace cairn {

// `beside` has been opened as the principal; its name is the vault's. Logs in to the token.
// Errors: hsm_unavailable, hsm_pin_wrong, hsm_token_locked, those of read_key_file for the PIN file.
Result<std::unique_ptr<KeyVault>> open_pkcs11_vault(std::unique_ptr<LocalVault> beside,
                                                    const KeyVaultSettings& settings);

}  // namespace cairn
