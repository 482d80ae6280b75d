// SPDX-License-Identifier: GPL-3.0-or-later
// Which vault a command means, and opening it as whom.
#pragma once

#include <memory>
#include <string>

#include "config/base/result.h"
#include "config/settings.h"
#include "crypto/vault/local/local_vault.h"
#include "daemon/cli/grammar/command_spec.h"

namespace cairn::cli {

// The vault's name: the one given, else the only one of the settings. Errors: vault_missing (none is declared, or none
// of that name), used_wrongly (several: name one).
Result<std::string> choose_vault(const Settings& settings, const std::string& given);

// "NAME" or "VAULT/NAME". Errors: as choose_vault, used_wrongly.
Result<VaultReference> choose_name(const Settings& settings, const std::string& given, const std::string& vault = {});

// `as`: empty: "admin". Errors: those of open_key_vault.
Result<std::unique_ptr<KeyVault>> open_vault_as(const Settings& settings, const std::string& vault,
                                                const std::string& as);
// The vault's own directory, with its policy and audit log: of local vaults, and of HSMs the part beside the HSM.
// Errors: also not_supported_yet: a vault of another kind keeps its own policy.
Result<std::unique_ptr<LocalVault>> open_local_vault_as(const Settings& settings, const std::string& vault,
                                                        const std::string& as);

// "admin" when nobody is named.
std::string principal_or_admin(const std::string& as);

// --as and --vault, as the commands about keys have them.
template <class T>
OptionSpec principal_option(std::string T::* as) {
  return value("--as", "PRINCIPAL", "The principal that asks (default: admin)", as);
}
template <class T>
OptionSpec vault_option(std::string T::* vault) {
  return value("--vault", "VAULT", "The vault's name in the settings; not needed when there is one", vault);
}

}  // namespace cairn::cli
