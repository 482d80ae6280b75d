// SPDX-License-Identifier: GPL-3.0-or-later
// CommandVault: any key vault that has a command line: the settings name a program for each operation. Its keys and
// secrets are made, deleted and restored with the vault's own tools. What goes in and out of each program:
// crypto/vault/command/COMMAND.md. Any thread.
#pragma once

#include <memory>
#include <string>

#include "crypto/vault/key_vault.h"

namespace cairn {

// Runs nothing yet. Whether the principal may do something the vault's own tool decides: missing_rights is always
// empty.
std::unique_ptr<KeyVault> make_command_vault(std::string name, const KeyVaultSettings& settings);

}  // namespace cairn
