// SPDX-License-Identifier: GPL-3.0-or-later
// cairn vault init, list, policy, grant, revoke, audit. Documents: policy, grant and revoke:
// {"vault","principals":[{"principal","rights":[RIGHT]}]}; list: [{"vault","provider","path","state":"open"|"closed",
// "keys","secrets","error"}]; audit: [{"number","time","principal","operation","object","outcome","detail","pid"}];
// init: {"vault","path","key_file":PATH|null,"administrator","service"}.
#include <filesystem>

#include "crypto/key_slots.h"
#include "crypto/unlock_key.h"
#include "crypto/vault/open/open_key_vault.h"
#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/grammar/option_values.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/undo.h"
#include "daemon/cli/work/vault_choice.h"
#include "daemon/queue/job_record.h"

namespace cairn::cli {
namespace {

using nlohmann::json;

// The vault may be left out where the settings declare only one. `as`: the principal; empty: "admin".
struct VaultInitCommand {
  std::string vault;
  std::string as;
  bool create_key_file = false;
};

struct VaultListCommand {};

struct VaultPolicyCommand {
  std::string vault;
  std::string as;
};

struct VaultGrantCommand {
  std::string vault;
  std::string as;
  std::string principal;
  std::vector<std::string> rights;
  std::string rights_template;
  bool is_new = false;
};

struct VaultRevokeCommand {
  std::string vault;
  std::string as;
  std::string principal;
  std::vector<std::string> rights;
  bool all = false;
};

struct VaultAuditCommand {
  std::string vault;
  std::string as;
  std::size_t limit = 50;
};

const char* to_string(KeyVaultSettings::Provider provider) {
  switch (provider) {
    case KeyVaultSettings::Provider::local:
      return "local";
    case KeyVaultSettings::Provider::pkcs11:
      return "pkcs11";
    case KeyVaultSettings::Provider::command:
      return "command";
  }
  return "";
}

json document_of(const std::string& vault, const AccessPolicy& policy) {
  json principals = json::array();
  for (const auto& [principal, rights] : policy.principals()) {
    json names = json::array();
    for (const Right right : rights) names.push_back(to_string(right));
    principals.push_back({{"principal", principal}, {"rights", names}});
  }
  return {{"vault", vault}, {"principals", principals}};
}

Result<ExitCode> show_policy(Context& context, LocalVault& vault) {
  CAIRN_TRY(const AccessPolicy policy, vault.policy());
  const json document = document_of(vault.name(), policy);
  CAIRN_CHECK(context.output().answer(document, render_policy(document)));
  return ExitCode::done;
}

Result<Rights> rights_from(const std::vector<std::string>& words) {
  Rights rights;
  std::vector<std::string> known;
  for (const Right right : all_rights()) known.emplace_back(to_string(right));
  for (const std::string& word : words) {
    const auto right = parse_right(word);
    if (!right) {
      const auto nearest = nearest_name(word, known);
      return fail(ErrorCode::used_wrongly, "use the right", word, "there is no such right",
                  nearest ? "did you mean \"" + *nearest + "\"?" : "see \"cairn vault grant --help\"");
    }
    rights.insert(*right);
  }
  return rights;
}

json vault_row(const std::string& name, const KeyVaultSettings& settings) {
  json row{{"vault", name},
           {"provider", to_string(settings.provider)},
           {"path", settings.provider == KeyVaultSettings::Provider::pkcs11 ? settings.module.string()
                                                                            : settings.path.string()},
           {"principal", settings.principal},
           {"state", "closed"},
           {"keys", nullptr},
           {"secrets", nullptr},
           {"error", nullptr}};
  const auto vault = open_key_vault(name, settings);
  if (!vault) {
    row["error"] = cairn::to_json(vault.error());
    return row;
  }
  row["state"] = "open";
  // Who may not list sees that it opens, and no figures.
  if (const auto keks = (*vault)->list_keks()) row["keys"] = keks->size();
  if (const auto secrets = (*vault)->list_secrets()) row["secrets"] = secrets->size();
  return row;
}

Result<void> check_grant(VaultGrantCommand& command, const GlobalOptions&) {
  if (command.rights.empty() != command.rights_template.empty()) return {};
  return misuse("grant rights", command.rights.empty() ? "no rights are named" : "both rights and a template are given",
                "name rights, or give --template backup|restore|admin");
}

Result<void> check_revoke(VaultRevokeCommand& command, const GlobalOptions&) {
  if (command.rights.empty() == command.all) return {};
  return misuse("revoke rights", command.all ? "both rights and --all are given" : "no rights are named",
                "name rights, or give --all");
}

Result<ExitCode> run(Context& context, const VaultInitCommand& command) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  CAIRN_TRY(const std::string name, choose_vault(*settings, command.vault));
  const KeyVaultSettings& vault = settings->key_vaults.at(name);
  if (vault.provider == KeyVaultSettings::Provider::command)
    return fail(ErrorCode::not_supported_yet, "make key vault", name, "its provider is a command",
                "make it with that vault's own tools");
  Undo undo;
  bool made_key_file = false;
  if (command.create_key_file) {
    if (!vault.key.key_file)
      return fail(ErrorCode::used_wrongly, "create key file", {},
                  "the settings unlock the vault " + name + " otherwise",
                  "set key_vaults." + name + ".key_file, or leave out --create-key-file");
    std::error_code ignored;
    if (!std::filesystem::exists(std::filesystem::symlink_status(*vault.key.key_file, ignored))) {
      CAIRN_CHECK(create_key_file(vault.key.key_file->string()));
      made_key_file = true;
      undo.add([file = *vault.key.key_file] {
        std::error_code nobody;
        std::filesystem::remove(file, nobody);
      });
    }
  }
  auto read_key = read_unlock_key(vault.key);
  if (!read_key && read_key.error().code == ErrorCode::key_file_missing)
    read_key.error().resolution = "\"cairn vault init --vault " + name + " --create-key-file\" makes one";
  CAIRN_TRY(UnlockKey key, std::move(read_key));
  NewKeySlot slot;
  slot.type = key.type;
  slot.label = "settings";
  slot.secret = std::move(key.secret);
  const std::string administrator = principal_or_admin(command.as);
  CAIRN_CHECK(LocalVault::create(vault.path, slot, administrator, vault.principal));
  undo.keep();
  json document{{"vault", name},
                {"path", vault.path.string()},
                {"key_file", made_key_file ? json(vault.key.key_file->string()) : json(nullptr)},
                {"administrator", administrator},
                {"service", vault.principal}};
  std::string text = "created key vault " + name + " in " + vault.path.string() + "\n";
  if (made_key_file)
    text += "created key file " + vault.key.key_file->string() +
            "\n  Keep a copy of it in a safe place, away from the vault.\n";
  text += "  " + administrator + " may do everything in it, " + vault.principal + " what backups need.\n" +
          "  Next: cairn key create NAME; then cairn key import MACHINE/DISK --from FILE for each encrypted disk.\n";
  CAIRN_CHECK(context.output().answer(document, text));
  return ExitCode::done;
}

Result<ExitCode> run(Context& context, const VaultListCommand&) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  json rows = json::array();
  bool all_open = true;
  for (const auto& [name, vault] : settings->key_vaults) {
    rows.push_back(vault_row(name, vault));
    all_open = all_open && rows.back()["error"].is_null();
  }
  CAIRN_CHECK(context.output().answer(rows, render_vaults(rows)));
  return all_open ? ExitCode::done : ExitCode::warnings;
}

Result<ExitCode> run(Context& context, const VaultPolicyCommand& command) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  CAIRN_TRY(const std::string name, choose_vault(*settings, command.vault));
  CAIRN_TRY(const auto vault, open_local_vault_as(*settings, name, command.as));
  return show_policy(context, *vault);
}

// A name that nobody has yet is a slip of the fingers, unless it is said to be new or the settings have it.
Result<void> check_principal(LocalVault& vault, const VaultGrantCommand& command, const std::string& of_settings) {
  if (command.is_new || command.principal == of_settings) return {};
  CAIRN_TRY(const AccessPolicy policy, vault.policy());
  if (policy.principals().contains(command.principal)) return {};
  std::vector<std::string> names{of_settings};
  for (const auto& entry : policy.principals()) names.push_back(entry.first);
  const auto nearest = nearest_name(command.principal, names);
  return fail(ErrorCode::no_such_principal, "grant rights to", command.principal,
              "the policy of key vault " + vault.name() + " has no such principal" +
                  (nearest ? "; did you mean " + *nearest + "?" : ""),
              "give --new if it is a new one");
}

Result<ExitCode> run(Context& context, const VaultGrantCommand& command) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  CAIRN_TRY(const std::string name, choose_vault(*settings, command.vault));
  Rights rights;
  if (command.rights_template.empty()) {
    CAIRN_TRY(rights, rights_from(command.rights));
  } else {
    const auto which = parse_rights_template(command.rights_template);
    if (!which)
      return fail(ErrorCode::used_wrongly, "use the template", command.rights_template, "there is no such template",
                  "give backup, restore or admin");
    rights = rights_of(*which);
  }
  CAIRN_TRY(const auto vault, open_local_vault_as(*settings, name, command.as));
  CAIRN_CHECK(check_principal(*vault, command, settings->key_vaults.at(name).principal));
  CAIRN_CHECK(vault->grant(command.principal, rights));
  return show_policy(context, *vault);
}

Result<ExitCode> run(Context& context, const VaultRevokeCommand& command) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  CAIRN_TRY(const std::string name, choose_vault(*settings, command.vault));
  Rights rights;
  if (command.all) {
    rights = rights_of(RightsTemplate::admin);
  } else {
    CAIRN_TRY(rights, rights_from(command.rights));
  }
  CAIRN_TRY(const auto vault, open_local_vault_as(*settings, name, command.as));
  CAIRN_CHECK(vault->revoke(command.principal, rights));
  return show_policy(context, *vault);
}

Result<ExitCode> run(Context& context, const VaultAuditCommand& command) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  CAIRN_TRY(const std::string name, choose_vault(*settings, command.vault));
  CAIRN_TRY(const auto vault, open_local_vault_as(*settings, name, command.as));
  CAIRN_TRY(const std::vector<AuditEntry> entries, vault->audit(command.limit));
  json rows = json::array();
  for (const AuditEntry& entry : entries)
    rows.push_back({{"number", entry.number},
                    {"time", iso_time(entry.time)},
                    {"principal", entry.principal},
                    {"operation", entry.operation},
                    {"object", entry.object},
                    {"outcome", entry.outcome},
                    {"detail", entry.detail},
                    {"pid", entry.pid}});
  CAIRN_CHECK(context.output().answer(rows, render_audit(rows)));
  return ExitCode::done;
}

}  // namespace

std::string render_policy(const json& document) {
  Table table({{"PRINCIPAL"}, {"RIGHTS"}});
  for (const auto& row : member(document, "principals")) {
    std::string rights;
    for (const auto& right : member(row, "rights"))
      if (right.is_string()) rights += (rights.empty() ? "" : " ") + right.get<std::string>();
    table.add({text_of(row, "principal"), rights});
  }
  return table.text();
}

std::string render_vaults(const json& rows) {
  if (rows.empty()) return "the settings declare no key vaults\n";
  Table table({{"VAULT"}, {"PROVIDER"}, {"STATE"}, {"KEYS", Align::right}, {"BEKS", Align::right}, {"WHERE"}});
  std::string remarks;
  for (const auto& row : rows) {
    const auto figure = [&](const char* name) {
      return member(row, name).is_number() ? std::to_string(number_of(row, name)) : std::string("-");
    };
    table.add({text_of(row, "vault"), text_of(row, "provider"), text_of(row, "state"), figure("keys"),
               figure("secrets"), text_of(row, "path")});
    const json& error = member(row, "error");
    if (error.is_object())
      remarks += "warning: " + printable(text_of(error, "message")) + " [" + text_of(error, "name") + "]\n";
  }
  return table.text() + remarks;
}

std::string render_audit(const json& rows) {
  Table table({{"NUMBER", Align::right}, {"TIME"}, {"PRINCIPAL"}, {"OPERATION"}, {"OBJECT"}, {"OUTCOME"}, {"DETAIL"}});
  for (const auto& row : rows)
    table.add({std::to_string(number_of(row, "number")), time_of(row, "time"), text_of(row, "principal"),
               text_of(row, "operation"), text_of(row, "object"), text_of(row, "outcome"), text_of(row, "detail")});
  return table.text();
}

CommandSpec vault_init_command() {
  CommandSpec spec;
  spec.words = "vault init";
  spec.summary = "Create a key vault of the settings";
  spec.examples = {"cairn vault init --create-key-file", "cairn vault init --vault main"};
  spec.notes =
      "The vault opens with the key that the settings name for it. It knows two principals at first: the\n"
      "administrator (--as, default \"admin\") and the one that the settings name for the daemon, with\n"
      "just the rights that backups need. Keep a copy of the key file away from the vault.";
  spec.options = {
      vault_option(&VaultInitCommand::vault),
      principal_option(&VaultInitCommand::as),
      flag("--create-key-file", "Make the vault's key_file when it does not exist", &VaultInitCommand::create_key_file),
  };
  set_action<VaultInitCommand>(spec, run);
  return spec;
}

CommandSpec vault_list_command() {
  CommandSpec spec;
  spec.words = "vault list";
  spec.summary = "List the vaults of the settings, and whether they open";
  spec.examples = {"cairn vault list"};
  set_action<VaultListCommand>(spec, run);
  return spec;
}

CommandSpec vault_policy_command() {
  CommandSpec spec;
  spec.words = "vault policy";
  spec.summary = "Show the access policy: principals and their rights";
  spec.examples = {"cairn vault policy"};
  spec.options = {vault_option(&VaultPolicyCommand::vault), principal_option(&VaultPolicyCommand::as)};
  set_action<VaultPolicyCommand>(spec, run);
  return spec;
}

CommandSpec vault_grant_command() {
  CommandSpec spec;
  spec.words = "vault grant";
  spec.summary = "Give a principal rights";
  spec.examples = {"cairn vault grant cairn-backup --template backup",
                   "cairn vault grant --new operator keys:list secrets:list"};
  spec.notes =
      "Templates: backup (read and backup rights, what points and their proof need), restore (the\n"
      "same, and putting keys back), admin (everything). Rights:\n"
      "  keys:get keys:list keys:create keys:backup keys:restore keys:wrap keys:unwrap keys:delete\n"
      "  secrets:get secrets:list secrets:set secrets:backup secrets:restore secrets:delete\n"
      "  policy:get policy:set";
  spec.options = {
      value("principal", "PRINCIPAL", "Who gets them", &VaultGrantCommand::principal).required(),
      value("rights", "RIGHT", "Rights, such as keys:get", &VaultGrantCommand::rights),
      value("--template", "TEMPLATE", "backup, restore or admin", &VaultGrantCommand::rights_template),
      flag("--new", "PRINCIPAL is one that the policy does not have yet", &VaultGrantCommand::is_new),
      vault_option(&VaultGrantCommand::vault),
      principal_option(&VaultGrantCommand::as),
  };
  set_action<VaultGrantCommand>(spec, run, check_grant);
  return spec;
}

CommandSpec vault_revoke_command() {
  CommandSpec spec;
  spec.words = "vault revoke";
  spec.summary = "Take rights from a principal";
  spec.examples = {"cairn vault revoke operator keys:list", "cairn vault revoke operator --all"};
  spec.options = {
      value("principal", "PRINCIPAL", "Who loses them", &VaultRevokeCommand::principal).required(),
      value("rights", "RIGHT", "Rights, such as keys:get", &VaultRevokeCommand::rights),
      flag("--all", "All its rights", &VaultRevokeCommand::all),
      vault_option(&VaultRevokeCommand::vault),
      principal_option(&VaultRevokeCommand::as),
  };
  set_action<VaultRevokeCommand>(spec, run, check_revoke);
  return spec;
}

CommandSpec vault_audit_command() {
  CommandSpec spec;
  spec.words = "vault audit";
  spec.summary = "Show the audit log: who did what; checks that nobody altered it";
  spec.examples = {"cairn vault audit", "cairn vault audit --limit 1000 --json"};
  spec.options = {
      parsed_value("--limit", "N", "How many entries, the newest (default: 50)", &VaultAuditCommand::limit,
                   [](const std::string& text) { return parse_limit(text, 100'000, "show the audit log"); }),
      vault_option(&VaultAuditCommand::vault),
      principal_option(&VaultAuditCommand::as),
  };
  set_action<VaultAuditCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
