// SPDX-License-Identifier: GPL-3.0-or-later
// cairn key create, rotate, list, show, delete. A KEK's document:
// {"vault","kek","type","versions":[{"version","created"}]}; a secret's:
// {"vault","secret","versions":[{"version","created","type","file_name","kek","kek_version"}]}. create, rotate: the
// KEK's (rotate: and "rewrapped":[NAME]); list, show: {"keks":[...],"secrets":[...]}; delete: {"deleted":NAME}.
#include <algorithm>

#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/prompt.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/vault_choice.h"

namespace cairn::cli {
namespace {

using nlohmann::json;

// Keys and secrets are named NAME or VAULT/NAME.
struct KeyCreateCommand {
  std::string key;
  std::string as;
  std::string type;  // empty: X25519, or what the vault makes
};

struct KeyRotateCommand {
  std::string key;
  std::string as;
  bool keep_wrapped = false;
};

struct KeyListCommand {
  std::string vault;  // empty: all
  std::string as;
};

struct KeyShowCommand {
  std::string name;
  std::string as;
};

struct KeyDeleteCommand {
  std::string name;
  std::string as;
  bool yes = false;
  bool force = false;
};

json version_json(const VersionFacts& version) {
  return {{"version", version.version},
          {"created", version.created ? json(iso_time(*version.created)) : json(nullptr)}};
}

json document_of(const std::string& vault, const KekFacts& kek) {
  json versions = json::array();
  for (const VersionFacts& version : kek.versions) versions.push_back(version_json(version));
  return {{"vault", vault}, {"kek", kek.name}, {"type", kek.type}, {"versions", versions}};
}

json document_of(const std::string& vault, const SecretFacts& secret) {
  json versions = json::array();
  for (const SecretVersionFacts& version : secret.versions) {
    json row = version_json(version);
    row["type"] = to_string(version.type);
    row["file_name"] = version.file_name;
    row["kek"] = version.kek;
    row["kek_version"] = version.kek_version;
    versions.push_back(std::move(row));
  }
  return {{"vault", vault}, {"secret", secret.name}, {"versions", versions}};
}

std::string newest(const json& row, const char* name) {
  const json& versions = member(row, "versions");
  return versions.empty() ? std::string() : text_of(versions.back(), name);
}

// Wraps with the newest version what older ones of this KEK wrap. The names that were.
Result<std::vector<std::string>> wrap_anew(KeyVault& vault, const KekFacts& kek) {
  std::vector<std::string> done;
  CAIRN_TRY(const std::vector<SecretFacts> secrets, vault.list_secrets());
  for (const SecretFacts& secret : secrets) {
    if (secret.versions.empty() || secret.versions.back().kek != kek.name ||
        secret.versions.back().kek_version == kek.versions.back().version)
      continue;
    CAIRN_TRY(StoredBek stored, vault.get_secret(secret.name));
    CAIRN_TRY(const SecretBytes plain, vault.unwrap(kek.name, stored.bek.wrapped));
    CAIRN_TRY(stored.bek.wrapped, vault.wrap(kek.name, plain));
    stored.bek.created = system_clock().now();
    CAIRN_CHECK(vault.set_secret(secret.name, stored.bek));
    done.push_back(secret.name);
  }
  return done;
}

// What of that name is in the vault: a KEK, a secret, or both.
struct Named {
  std::optional<KekFacts> kek;
  std::optional<SecretFacts> secret;
};
Result<Named> find_named(KeyVault& vault, const VaultReference& what) {
  Named found;
  std::vector<std::string> names;
  CAIRN_TRY(const std::vector<KekFacts> keks, vault.list_keks());
  for (const KekFacts& kek : keks) {
    names.push_back(kek.name);
    if (kek.name == what.name) found.kek = kek;
  }
  CAIRN_TRY(const std::vector<SecretFacts> secrets, vault.list_secrets());
  for (const SecretFacts& secret : secrets) {
    names.push_back(secret.name);
    if (secret.name == what.name) found.secret = secret;
  }
  if (found.kek || found.secret) return found;
  const auto nearest = nearest_name(what.name, names);
  return fail(ErrorCode::secret_missing, "find key", what.text(), "the vault has no KEK and no BEK of that name",
              nearest ? "did you mean \"" + *nearest + "\"?" : "see \"cairn key list\"");
}

std::string names_in_words(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : ", ") + word;
  return all;
}

// What still needs the key or secret, by name. Empty: nothing that is known here.
Result<std::string> use_of(const Settings& settings, KeyVault& vault, const VaultReference& what, bool kek) {
  std::string uses;
  const auto add = [&](const std::string& use) { uses += (uses.empty() ? "" : "; ") + use; };
  std::vector<std::string> wrapped;
  if (kek) {
    CAIRN_TRY(const std::vector<SecretFacts> secrets, vault.list_secrets());
    for (const SecretFacts& secret : secrets)
      if (std::ranges::any_of(secret.versions, [&](const auto& version) { return version.kek == what.name; }))
        wrapped.push_back(what.vault + "/" + secret.name);
  }
  if (!wrapped.empty()) add("it wraps the BEKs " + names_in_words(wrapped) + ", which nothing else unwraps");
  std::vector<std::string> disks;
  for (const auto& [name, machine] : settings.machines)
    for (const DiskSettings& disk : machine.disks)
      if ((kek && disk.kek == what) || (!kek && std::ranges::find(disk.beks, what) != disk.beks.end()))
        disks.push_back(name + "/" + disk.name);
  if (!disks.empty()) add("the settings name it for " + names_in_words(disks));
  return uses;
}

Result<ExitCode> run(Context& context, const KeyCreateCommand& command) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  CAIRN_TRY(const VaultReference key, choose_name(*settings, command.key));
  const bool hsm = settings->key_vaults.at(key.vault).provider == KeyVaultSettings::Provider::pkcs11;
  auto type =
      command.type.empty() ? std::optional(hsm ? KekType::rsa_3072 : KekType::x25519) : parse_kek_type(command.type);
  if (!type)
    return fail(ErrorCode::used_wrongly, "create key", key.text(), "there is no key type \"" + command.type + "\"",
                "give X25519, RSA-3072 or RSA-4096");
  CAIRN_TRY(const auto vault, open_vault_as(*settings, key.vault, command.as));
  CAIRN_TRY(const KekFacts made, vault->create_kek(key.name, *type));
  CAIRN_CHECK(
      context.output().answer(document_of(key.vault, made), "created KEK " + key.text() + ", " + made.type + "\n"));
  return ExitCode::done;
}

Result<ExitCode> run(Context& context, const KeyRotateCommand& command) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  CAIRN_TRY(const VaultReference key, choose_name(*settings, command.key));
  CAIRN_TRY(const auto vault, open_vault_as(*settings, key.vault, command.as));
  CAIRN_TRY(const KekFacts rotated, vault->rotate_kek(key.name));
  json document = document_of(key.vault, rotated);
  document["rewrapped"] = json::array();
  std::string text = "KEK " + key.text() + " has version " + rotated.versions.back().version + " now\n";
  if (!command.keep_wrapped) {
    CAIRN_TRY(const std::vector<std::string> rewrapped, wrap_anew(*vault, rotated));
    for (const std::string& name : rewrapped) text += "  wrapped BEK " + key.vault + "/" + name + " anew\n";
    document["rewrapped"] = rewrapped;
  }
  CAIRN_CHECK(context.output().answer(document, text));
  return ExitCode::done;
}

Result<ExitCode> run(Context& context, const KeyListCommand& command) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  std::vector<std::string> names;
  if (!command.vault.empty()) {
    CAIRN_TRY(std::string name, choose_vault(*settings, command.vault));
    names.push_back(std::move(name));
  } else {
    for (const auto& entry : settings->key_vaults) names.push_back(entry.first);
  }
  json document{{"keks", json::array()}, {"secrets", json::array()}};
  for (const std::string& name : names) {
    CAIRN_TRY(const auto vault, open_vault_as(*settings, name, command.as));
    CAIRN_TRY(const std::vector<KekFacts> keks, vault->list_keks());
    for (const KekFacts& kek : keks) document["keks"].push_back(document_of(name, kek));
    CAIRN_TRY(const std::vector<SecretFacts> secrets, vault->list_secrets());
    for (const SecretFacts& secret : secrets) document["secrets"].push_back(document_of(name, secret));
  }
  CAIRN_CHECK(context.output().answer(document, render_keys(document)));
  return ExitCode::done;
}

Result<ExitCode> run(Context& context, const KeyShowCommand& command) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  CAIRN_TRY(const VaultReference what, choose_name(*settings, command.name));
  CAIRN_TRY(const auto vault, open_vault_as(*settings, what.vault, command.as));
  CAIRN_TRY(const Named found, find_named(*vault, what));
  json document{{"keks", json::array()}, {"secrets", json::array()}};
  if (found.kek) document["keks"].push_back(document_of(what.vault, *found.kek));
  if (found.secret) document["secrets"].push_back(document_of(what.vault, *found.secret));
  CAIRN_CHECK(context.output().answer(document, render_key(document)));
  return ExitCode::done;
}

Result<ExitCode> run(Context& context, const KeyDeleteCommand& command) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  CAIRN_TRY(const VaultReference what, choose_name(*settings, command.name));
  CAIRN_TRY(const auto vault, open_vault_as(*settings, what.vault, command.as));
  CAIRN_TRY(const Named found, find_named(*vault, what));
  if (found.kek && found.secret)
    return fail(ErrorCode::used_wrongly, "delete", what.text(), "a KEK and a BEK have that name",
                "nothing is deleted while it is not known which is meant");
  const std::string kind = found.kek ? "KEK" : "BEK";
  if (!command.force) {
    CAIRN_TRY(const std::string uses, use_of(*settings, *vault, what, found.kek.has_value()));
    if (!uses.empty()) return fail(ErrorCode::key_in_use, "delete the " + kind, what.text(), uses);
  }
  CAIRN_CHECK(confirm("Delete the " + kind + " " + what.text() + " with all its versions?", command.yes,
                      "delete the " + kind, what.text()));
  if (found.kek)
    CAIRN_CHECK(vault->delete_kek(what.name));
  else
    CAIRN_CHECK(vault->delete_secret(what.name));
  CAIRN_CHECK(context.output().answer({{"deleted", what.text()}}, "deleted " + kind + " " + what.text() + "\n"));
  return ExitCode::done;
}

}  // namespace

std::string render_keys(const json& document) {
  Table keks({{"KEK"}, {"TYPE"}, {"VERSION"}, {"CREATED"}, {"OLDER", Align::right}});
  for (const auto& row : member(document, "keks")) {
    const std::size_t count = member(row, "versions").size();
    keks.add({text_of(row, "vault") + "/" + text_of(row, "kek"), text_of(row, "type"), newest(row, "version"),
              count == 0 ? "" : time_of(member(row, "versions").back(), "created"),
              std::to_string(count == 0 ? 0 : count - 1)});
  }
  Table beks({{"BEK"}, {"TYPE"}, {"VERSION"}, {"IMPORTED"}, {"WRAPPED BY"}, {"FROM"}});
  for (const auto& row : member(document, "secrets")) {
    const json& versions = member(row, "versions");
    beks.add({text_of(row, "vault") + "/" + text_of(row, "secret"), newest(row, "type"), newest(row, "version"),
              versions.empty() ? "" : time_of(versions.back(), "created"),
              newest(row, "kek") + " version " + newest(row, "kek_version"), newest(row, "file_name")});
  }
  std::string text = member(document, "keks").empty() ? "no KEKs; \"cairn key create NAME\" makes one\n" : keks.text();
  text += "\n";
  text += member(document, "secrets").empty()
              ? "no BEKs; \"cairn key import MACHINE/DISK --from FILE\" puts one into the vault\n"
              : beks.text();
  return text;
}

std::string render_key(const json& document) {
  std::string text;
  for (const auto& row : member(document, "keks")) {
    text += "KEK " + text_of(row, "vault") + "/" + text_of(row, "kek") + ", " + text_of(row, "type") + "\n";
    for (const auto& version : member(row, "versions"))
      text += "  version " + text_of(version, "version") + "  " + time_of(version, "created") + "\n";
  }
  for (const auto& row : member(document, "secrets")) {
    text += "BEK " + text_of(row, "vault") + "/" + text_of(row, "secret") + "\n";
    for (const auto& version : member(row, "versions"))
      text += "  version " + text_of(version, "version") + "  " + time_of(version, "created") + "  " +
              text_of(version, "type") + ", wrapped by " + text_of(version, "kek") + " version " +
              text_of(version, "kek_version") +
              (text_of(version, "file_name").empty() ? "" : ", from " + text_of(version, "file_name")) + "\n";
  }
  return printable(text, Lines::keep);
}

CommandSpec key_create_command() {
  CommandSpec spec;
  spec.words = "key create";
  spec.summary = "Create a KEK in a vault";
  spec.examples = {"cairn key create backup", "cairn key create main/backup --type RSA-4096"};
  spec.options = {
      value("name", "NAME", "NAME, or VAULT/NAME", &KeyCreateCommand::key).required(),
      value("--type", "TYPE", "X25519, RSA-3072 or RSA-4096 (default: X25519; in an HSM RSA-3072)",
            &KeyCreateCommand::type),
      principal_option(&KeyCreateCommand::as),
  };
  set_action<KeyCreateCommand>(spec, run);
  return spec;
}

CommandSpec key_rotate_command() {
  CommandSpec spec;
  spec.words = "key rotate";
  spec.summary = "Make a new version of a KEK; the old ones stay";
  spec.examples = {"cairn key rotate main/backup"};
  spec.notes =
      "BEKs that the KEK wraps are wrapped anew with the new version. Recovery points keep the versions\n"
      "that they were taken with.";
  spec.options = {
      value("name", "NAME", "NAME, or VAULT/NAME", &KeyRotateCommand::key).required(),
      flag("--keep-wrapped", "Leave the BEKs wrapped by the versions that wrap them", &KeyRotateCommand::keep_wrapped),
      principal_option(&KeyRotateCommand::as),
  };
  set_action<KeyRotateCommand>(spec, run);
  return spec;
}

CommandSpec key_list_command() {
  CommandSpec spec;
  spec.words = "key list";
  spec.summary = "List KEKs and BEKs";
  spec.examples = {"cairn key list"};
  spec.options = {
      value("--vault", "VAULT", "Only this vault", &KeyListCommand::vault),
      principal_option(&KeyListCommand::as),
  };
  set_action<KeyListCommand>(spec, run);
  return spec;
}

CommandSpec key_show_command() {
  CommandSpec spec;
  spec.words = "key show";
  spec.summary = "Show what is known about a key or secret, never itself";
  spec.examples = {"cairn key show main/web-01-root"};
  spec.options = {
      value("name", "NAME", "NAME, or VAULT/NAME", &KeyShowCommand::name).required(),
      principal_option(&KeyShowCommand::as),
  };
  set_action<KeyShowCommand>(spec, run);
  return spec;
}

CommandSpec key_delete_command() {
  CommandSpec spec;
  spec.words = "key delete";
  spec.summary = "Delete a key or secret from its vault, all versions";
  spec.examples = {"cairn key delete main/old-web-01-root"};
  spec.notes =
      "Recovery points that hold it keep it: \"cairn key restore\" brings it back. A KEK that wraps BEKs, and\n"
      "what the settings name for a disk, is refused without --force. Without a terminal to ask on, --yes is\n"
      "needed.";
  spec.options = {
      value("name", "NAME", "NAME, or VAULT/NAME", &KeyDeleteCommand::name).required(),
      flag("--yes", "Do not ask", &KeyDeleteCommand::yes),
      flag("--force", "Also when BEKs or the settings still need it", &KeyDeleteCommand::force),
      principal_option(&KeyDeleteCommand::as),
  };
  set_action<KeyDeleteCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
