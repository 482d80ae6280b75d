// SPDX-License-Identifier: GPL-3.0-or-later
// A local vault of which the keys are known. For local_vault_open.cpp only.
#pragma once

#include <memory>
#include <string>

#include "crypto/vault/local/local_vault.h"
#include "crypto/vault/local/vault_session.h"

namespace cairn {

std::unique_ptr<LocalVault> make_open_local_vault(std::string name, std::string principal, VaultAccess access);

}  // namespace cairn
