// SPDX-License-Identifier: GPL-3.0-or-later
// The errors of key vaults that several providers word alike. Pure. Any thread.
#pragma once

#include <span>
#include <string>

#include "config/base/result.h"
#include "crypto/vault/key_vault.h"

namespace cairn {

// kek_missing, with the nearest of the names that are there.
std::unexpected<Error> no_such_kek(const std::string& vault, const std::string& kek,
                                   std::span<const std::string> there);
std::unexpected<Error> no_such_kek(const std::string& vault, const std::string& kek, std::span<const KekFacts> there);
// kek_missing: the key is there and has no such version.
std::unexpected<Error> no_such_kek_version(const std::string& vault, const KekFacts& kek, const std::string& version);
// secret_missing, with the nearest of the names that are there.
std::unexpected<Error> no_such_secret(const std::string& vault, const std::string& secret,
                                      std::span<const std::string> there);

}  // namespace cairn
