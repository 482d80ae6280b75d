// SPDX-License-Identifier: GPL-3.0-or-later
// What the commands of a command vault print: checked, since another program wrote it. Format:
// crypto/vault/command/COMMAND.md. Pure. Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "crypto/secret_command.h"
#include "crypto/vault/key_vault.h"

namespace cairn {

struct ListedSecret {
  // Only versions whose facts are all in the answer, oldest first.
  SecretFacts facts;
  bool newest_known = false;  // its newest version is among them
};

struct VaultList {
  std::vector<KekFacts> keks;  // each has at least one version
  std::vector<ListedSecret> secrets;
};

// A version as it may stand in argv: letters, digits and . _ - : only, beginning with a letter or digit, 1 to 128.
bool is_vault_version(std::string_view text);

// Errors: command.failed, saying what is wrong with the output. Keys and secrets whose names cannot stand in the
// settings (is_vault_name) are left out: they are none of Cairn's.
Result<VaultList> read_vault_list(const SecretCommand& command, const CommandOutput& output);

// Errors: command.failed (no JSON); secret_damaged, naming `secret` (JSON, and no wrapped BEK). Without a version of
// the vault's: bek_version().
Result<StoredBek> read_stored_bek(const SecretCommand& command, const CommandOutput& output, const std::string& secret);

// What set_secret printed: a version on a line, or nothing. Errors: command.failed.
Result<std::optional<std::string>> read_new_version(const SecretCommand& command, const CommandOutput& output);

// For vaults that do not number: 16 hexadecimal digits (BLAKE2b) that are the same whenever the document says the same.
std::string bek_version(const WrappedBek& bek);

}  // namespace cairn
