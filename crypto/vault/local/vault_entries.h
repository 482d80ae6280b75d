// SPDX-License-Identifier: GPL-3.0-or-later
// Keys, secrets and their versions in a vault's contents: found, counted and shown, with the errors that a user meets.
// `vault` is the vault's name in the settings, for messages. Pure. Any thread.
#pragma once

#include <string>

#include "config/base/result.h"
#include "crypto/vault/local/vault_contents.h"

namespace cairn {

KekFacts facts_of(const std::string& name, const KeptKek& kek);
SecretFacts facts_of(const std::string& name, const KeptSecret& secret);
std::string versions_of(const KeptKek& kek);  // "1, 2, 5"
std::string versions_of(const KeptSecret& secret);

// Errors: kek_missing, with the nearest name. The pointer lives as long as the entry.
Result<KeptKek*> find_kek(VaultContents& contents, const std::string& vault, const std::string& kek);
// Errors: kek_missing, with the versions there are.
Result<VersionNumber> find_version(const KeptKek& kept, const std::string& vault, const std::string& kek,
                                   const std::string& version);
// Errors: secret_missing, with the nearest name.
Result<KeptSecret*> find_secret(VaultContents& contents, const std::string& vault, const std::string& secret);

// May there be another of that name, or another version? `doing`: "create", "restore". Errors: used_wrongly: that is no
// name, no wrapped BEK that could be read again, or there are too many.
Result<void> check_room_for_kek(const VaultContents& contents, const std::string& vault, const std::string& kek,
                                const std::string& doing);
Result<void> check_room_for_secret(const VaultContents& contents, const std::string& vault, const std::string& secret,
                                   const WrappedBek& bek, const std::string& doing);
// May it have one more version? Errors: used_wrongly.
Result<void> check_room_for_version(const KeptKek& kek, const std::string& doing, const std::string& object);
Result<void> check_room_for_version(const KeptSecret& secret, const std::string& doing, const std::string& object);
// The newest version's number and one more; 1: there is none. Errors: used_wrongly.
Result<VersionNumber> next_version(const KeptKek& kek, const std::string& doing, const std::string& object);
Result<VersionNumber> next_version(const KeptSecret& secret, const std::string& doing, const std::string& object);

// Errors: used_wrongly: it is no number.
Result<VersionNumber> version_number(const std::string& version, const std::string& doing, const std::string& object);

}  // namespace cairn
