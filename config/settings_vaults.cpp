// SPDX-License-Identifier: GPL-3.0-or-later
// The section key_vaults. Keys, defaults and ranges: config/REFERENCE.md.
#include <fmt/format.h>

#include <algorithm>

#include "config/base/text.h"
#include "config/settings_reader.h"

namespace cairn {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr DurationLimits kVaultTimeout = {seconds{1}, hours{1}, "a duration from 1s to 1h, such as 30s"};
constexpr const char* kName = "a name: 1 to 64 of a-z A-Z 0-9 . _ -, beginning with a letter or digit";

void read_vault_commands(MapReader& vault_map, VaultCommands& commands) {
  struct CommandOf {
    std::string_view key;
    std::vector<std::string> VaultCommands::* words;
    bool needed;
  };
  static constexpr CommandOf kCommands[] = {
      {"list", &VaultCommands::list, true},      {"get_secret", &VaultCommands::get_secret, true},
      {"wrap", &VaultCommands::wrap, true},      {"unwrap", &VaultCommands::unwrap, true},
      {"backup", &VaultCommands::backup, false}, {"set_secret", &VaultCommands::set_secret, false}};
  MapReader map = vault_map.map("commands");
  for (const CommandOf& known : kCommands) {
    if (auto words = map.command(known.key)) commands.*known.words = *std::move(words);
    if (known.needed && map.take(known.key) == nullptr && map.is_readable())
      map.missing(known.key, "the command that does it");
  }
  map.finish();
}

// Each provider needs its own keys and knows no other's. Of a provider that is not known nothing can be said.
void check_vault_keys(MapReader& map, std::optional<KeyVaultSettings::Provider> provider,
                      const std::vector<std::string>& provider_names) {
  struct KeyOf {
    std::string_view key;
    std::vector<KeyVaultSettings::Provider> providers;
    bool needed;
    std::string_view meaning;
  };
  using enum KeyVaultSettings::Provider;
  static const KeyOf kKeys[] = {{"path", {local, pkcs11}, true, "the vault's directory"},
                                {"key_file", {local, pkcs11}, false, ""},
                                {"passphrase_file", {local, pkcs11}, false, ""},
                                {"passphrase_command", {local, pkcs11}, false, ""},
                                {"module", {pkcs11}, true, "the PKCS #11 library of the HSM"},
                                {"token", {pkcs11}, true, "the token's label"},
                                {"pin_file", {pkcs11}, true, "the file with the token's PIN"},
                                {"escrow_beks", {pkcs11, command}, false, ""},
                                {"commands", {command}, true, "the commands that speak for the vault"},
                                {"timeout", {command}, false, ""}};
  const auto name_of = [&](KeyVaultSettings::Provider which) {
    return provider_names[static_cast<std::size_t>(which)];
  };
  for (const KeyOf& known : kKeys) {
    const YamlEntry* entry = map.take(known.key);
    if (!provider) continue;
    const bool fits = std::ranges::find(known.providers, *provider) != known.providers.end();
    if (fits && known.needed && entry == nullptr) map.missing(known.key, std::string(known.meaning));
    if (fits || entry == nullptr) continue;
    std::string others = name_of(known.providers.front());
    for (std::size_t i = 1; i < known.providers.size(); ++i) others += " or " + name_of(known.providers[i]);
    map.key_problem(*entry, fmt::format("{} with provider {}", known.key, name_of(*provider)),
                    fmt::format("it only with provider {}", others));
  }
}

}  // namespace

void SettingsReader::read_key_vaults(MapReader& top) {
  MapReader vaults = top.map("key_vaults");
  for (const YamlEntry& entry : vaults.named_entries("vault")) {
    vault_names_.push_back(entry.key);
    MapReader map = vaults.map(entry);
    settings_.key_vaults.emplace(entry.key, read_key_vault(map));
  }
}

KeyVaultSettings SettingsReader::read_key_vault(MapReader& map) {
  using Provider = KeyVaultSettings::Provider;
  static const std::vector<std::string> kProviders = {"local", "pkcs11", "command"};
  KeyVaultSettings vault;
  const bool provider_given = map.take("provider") != nullptr;
  const auto provider = map.choice("provider", kProviders);
  if (provider) vault.provider = static_cast<Provider>(*provider);
  if (!provider_given) map.missing("provider", "local, pkcs11 or command");
  check_vault_keys(map, provider ? std::optional(vault.provider) : std::nullopt, kProviders);

  if (const auto path = named_path(map, "path")) vault.path = *path;
  if (provider && vault.provider != Provider::command) read_key(map, vault.key);
  if (const auto path = map.path("module")) vault.module = *path;
  if (const auto token = map.text("token", "the token's label")) vault.token = *token;
  if (const auto path = map.path("pin_file")) vault.pin_file = *path;
  if (provider && vault.provider == Provider::command && map.take("commands") != nullptr)
    read_vault_commands(map, vault.commands);
  if (const auto timeout = map.duration("timeout", kVaultTimeout)) vault.timeout = *timeout;
  if (const auto escrow = map.boolean("escrow_beks")) vault.escrow_beks = *escrow;
  if (const auto principal = map.text("principal", kName)) {
    vault.principal = *principal;
    if (!is_valid_name(*principal)) map.problem(*map.take("principal"), in_quotes(*principal), kName);
  }
  map.finish();
  return vault;
}

}  // namespace cairn
