// SPDX-License-Identifier: GPL-3.0-or-later
// The grammar of the commands about vaults, keys and proof.
#include "daemon/cli/grammar/grammar.h"

namespace cairn::cli {
namespace {

using Kind = Completion::Kind;

void add_principal(CLI::App* command, std::string& as) {
  command->add_option("--as", as, "The principal that asks (default: admin)")->type_name("PRINCIPAL");
}
void add_vault_option(CLI::App* command, std::string& vault) {
  command->add_option("--vault", vault, "The vault's name in the settings; not needed when there is one")
      ->type_name("VAULT");
}

}  // namespace

void Grammar::add_vault() {
  CLI::App* vault = add(app, "vault", "The key vaults: who may do what in them", "", nullptr);
  CLI::App* init =
      add(*vault, "init", "Create a key vault of the settings",
          "Examples:\n"
          "  cairn vault init --create-key-file\n"
          "  cairn vault init --vault main\n"
          "\n"
          "The vault opens with the key that the settings name for it. It knows two principals at first: the\n"
          "administrator (--as, default \"admin\") and the one that the settings name for the daemon, with\n"
          "just the rights that backups need. Keep a copy of the key file away from the vault.",
          [this] { return Command(vault_init); });
  add_vault_option(init, vault_init.vault);
  add_principal(init, vault_init.as);
  init->add_flag("--create-key-file", vault_init.create_key_file, "Make the vault's key_file when it does not exist");

  add(*vault, "list", "List the vaults of the settings, and whether they open", "Example:\n  cairn vault list",
      [] { return Command(VaultListCommand{}); });

  CLI::App* policy = add(*vault, "policy", "Show the access policy: principals and their rights",
                         "Example:\n  cairn vault policy", [this] { return Command(vault_policy); });
  add_vault_option(policy, vault_policy.vault);
  add_principal(policy, vault_policy.as);

  CLI::App* grant =
      add(*vault, "grant", "Give a principal rights",
          "Examples:\n"
          "  cairn vault grant cairn-backup --template backup\n"
          "  cairn vault grant operator keys:list secrets:list\n"
          "\n"
          "Templates: backup (read and backup rights, what points and their proof need), restore (the\n"
          "same, and putting keys back), admin (everything). Rights:\n"
          "  keys:get keys:list keys:create keys:backup keys:restore keys:wrap keys:unwrap keys:delete\n"
          "  secrets:get secrets:list secrets:set secrets:backup secrets:restore secrets:delete\n"
          "  policy:get policy:set",
          [this]() -> Result<Command> {
            if (vault_grant.principal.empty()) return missing("vault grant", "PRINCIPAL");
            if (vault_grant.rights.empty() == vault_grant.rights_template.empty())
              return misuse("grant rights",
                            vault_grant.rights.empty() ? "no rights are named" : "both rights and a template are given",
                            "name rights, or give --template backup|restore|admin");
            return vault_grant;
          });
  grant->add_option("principal", vault_grant.principal, "Who gets them")->type_name("PRINCIPAL");
  grant->add_option("rights", vault_grant.rights, "Rights, such as keys:get")->type_name("RIGHT");
  grant->add_option("--template", vault_grant.rights_template, "backup, restore or admin")->type_name("TEMPLATE");
  add_vault_option(grant, vault_grant.vault);
  add_principal(grant, vault_grant.as);

  CLI::App* revoke = add(*vault, "revoke", "Take rights from a principal",
                         "Examples:\n"
                         "  cairn vault revoke operator keys:list\n"
                         "  cairn vault revoke operator --all",
                         [this]() -> Result<Command> {
                           if (vault_revoke.principal.empty()) return missing("vault revoke", "PRINCIPAL");
                           if (vault_revoke.rights.empty() != vault_revoke.all)
                             return misuse("revoke rights",
                                           vault_revoke.all ? "both rights and --all are given" : "no rights are named",
                                           "name rights, or give --all");
                           return vault_revoke;
                         });
  revoke->add_option("principal", vault_revoke.principal, "Who loses them")->type_name("PRINCIPAL");
  revoke->add_option("rights", vault_revoke.rights, "Rights, such as keys:get")->type_name("RIGHT");
  revoke->add_flag("--all", vault_revoke.all, "All its rights");
  add_vault_option(revoke, vault_revoke.vault);
  add_principal(revoke, vault_revoke.as);

  CLI::App* audit =
      add(*vault, "audit", "Show the audit log: who did what; checks that nobody altered it",
          "Examples:\n  cairn vault audit\n  cairn vault audit --limit 1000 --json", [this]() -> Result<Command> {
            if (!audit_limit.empty()) {
              CAIRN_TRY(vault_audit.limit, parse_limit(audit_limit, 100'000, "show the audit log"));
            }
            return vault_audit;
          });
  audit->add_option("--limit", audit_limit, "How many entries, the newest (default: 50)")->type_name("N");
  add_vault_option(audit, vault_audit.vault);
  add_principal(audit, vault_audit.as);
}

void Grammar::add_key() {
  CLI::App* key = add(app, "key", "The keys of encrypted disks: BEKs that open them, KEKs that wrap BEKs", "", nullptr);
  CLI::App* create = add(*key, "create", "Create a KEK in a vault",
                         "Examples:\n  cairn key create backup\n  cairn key create main/backup --type RSA-4096",
                         [this]() -> Result<Command> {
                           if (key_create.key.empty()) return missing("key create", "NAME");
                           return key_create;
                         });
  create->add_option("name", key_create.key, "NAME, or VAULT/NAME")->type_name("NAME");
  create->add_option("--type", key_create.type, "X25519, RSA-3072 or RSA-4096 (default: X25519; in an HSM RSA-3072)")
      ->type_name("TYPE");
  add_principal(create, key_create.as);

  CLI::App* rotate =
      add(*key, "rotate", "Make a new version of a KEK; the old ones stay",
          "Example:\n"
          "  cairn key rotate main/backup\n"
          "\n"
          "BEKs that the KEK wraps are wrapped anew with the new version. Recovery points keep the versions\n"
          "that they were taken with.",
          [this]() -> Result<Command> {
            if (key_rotate.key.empty()) return missing("key rotate", "NAME");
            return key_rotate;
          });
  rotate->add_option("name", key_rotate.key, "NAME, or VAULT/NAME")->type_name("NAME");
  rotate->add_flag("--keep-wrapped", key_rotate.keep_wrapped, "Leave the BEKs wrapped by the versions that wrap them");
  add_principal(rotate, key_rotate.as);

  CLI::App* import =
      add(*key, "import", "Put the BEK of a disk into its vault, wrapped",
          "Examples:\n"
          "  cairn key import web-01/root --from /root/web-01-root.key\n"
          "  cairn key import win-01/c --from 4381F759-C4F8-4DE0-BB61-FC33A831BDA5.BEK\n"
          "  cairn key import win-01/c --from -\n"
          "\n"
          "A LUKS key file or passphrase, a BitLocker .BEK file, recovery password or password. It is tried\n"
          "on the disk first, wrapped by the disk's kek of the settings, and stored as its bek. The BEK\n"
          "itself is written nowhere. -: standard input, without echo on a terminal.",
          [this]() -> Result<Command> {
            if (key_import.disk.empty()) return missing("key import", "MACHINE/DISK");
            if (key_import.from.empty()) return missing("key import", "--from FILE");
            return key_import;
          });
  import->add_option("disk", key_import.disk, "The disk that it opens")->type_name("MACHINE/DISK");
  completes[import->add_option("--from", key_import.from, "A file of mode 0600; -: standard input")
                ->type_name("FILE")] = Kind::files;
  import
      ->add_option("--type", key_import.type,
                   "luks-key-file, luks-passphrase, bitlocker-startup-key, bitlocker-recovery-password or\n"
                   "bitlocker-password (default: found out)")
      ->type_name("TYPE");
  import->add_option("--secret", key_import.secret, "Which bek of the disk, when it has several")
      ->type_name("VAULT/NAME");
  add_principal(import, key_import.as);

  CLI::App* list =
      add(*key, "list", "List KEKs and BEKs", "Example:\n  cairn key list", [this] { return Command(key_list); });
  list->add_option("--vault", key_list.vault, "Only this vault")->type_name("VAULT");
  add_principal(list, key_list.as);

  CLI::App* show = add(*key, "show", "Show what is known about a key or secret, never itself",
                       "Example:\n  cairn key show main/web-01-root", [this]() -> Result<Command> {
                         if (key_show.name.empty()) return missing("key show", "NAME");
                         return key_show;
                       });
  show->add_option("name", key_show.name, "NAME, or VAULT/NAME")->type_name("NAME");
  add_principal(show, key_show.as);

  CLI::App* erase = add(*key, "delete", "Delete a key or secret from its vault, all versions",
                        "Example:\n"
                        "  cairn key delete main/old-web-01-root\n"
                        "\n"
                        "Recovery points that hold it keep it: \"cairn key restore\" brings it back.",
                        [this]() -> Result<Command> {
                          if (key_delete.name.empty()) return missing("key delete", "NAME");
                          return key_delete;
                        });
  erase->add_option("name", key_delete.name, "NAME, or VAULT/NAME")->type_name("NAME");
  erase->add_flag("--yes", key_delete.yes, "Do not ask");
  add_principal(erase, key_delete.as);

  CLI::App* restore_keys =
      add(*key, "restore", "Put the keys of a recovery point back into a vault",
          "Example:\n"
          "  cairn key restore web-01@latest --vault main\n"
          "\n"
          "What is missing is put back; what is there and the same stays; what is there and differs\n"
          "is never overwritten: the command stops there and says what it is.",
          [this]() -> Result<Command> {
            if (key_restore.point.empty()) return missing("key restore", "MACHINE@POINT");
            return key_restore;
          });
  completes[restore_keys->add_option("point", key_restore.point, "The recovery point")->type_name("MACHINE@POINT")] =
      Kind::points;
  add_vault_option(restore_keys, key_restore.vault);
  restore_keys->add_option("--disk", key_restore.disk, "Only the keys of this disk")->type_name("NAME");
  add_principal(restore_keys, key_restore.as);

  CLI::App* export_key =
      add(*key, "export", "Hand out the BEK of a disk in the clear, to unlock it",
          "Examples:\n"
          "  cairn key export web-01/root --to - | cryptsetup open --key-file - web-01.img web-01\n"
          "  cairn --store /mnt/store --recovery-key paper.txt key export web-01@latest --to key\n"
          "\n"
          "MACHINE/DISK: from the vault of the settings. MACHINE@POINT: from the recovery point, which\n"
          "needs neither vault nor settings. FILE is new, of mode 0600; - is standard output, which may\n"
          "not be a terminal.",
          [this]() -> Result<Command> {
            if (key_export.what.empty()) return missing("key export", "MACHINE/DISK or MACHINE@POINT");
            if (key_export.to.empty()) return missing("key export", "--to FILE");
            return key_export;
          });
  completes[export_key->add_option("what", key_export.what, "MACHINE/DISK or MACHINE@POINT")
                ->type_name("MACHINE/DISK|MACHINE@POINT")] = Kind::points;
  export_key->add_option("--disk", key_export.disk, "With MACHINE@POINT: whose key")->type_name("NAME");
  export_key->add_option("--secret", key_export.secret, "Which bek of the disk, when it has several")
      ->type_name("VAULT/NAME");
  completes[export_key->add_option("--to", key_export.to, "A new file; -: standard output")->type_name("FILE")] =
      Kind::files;
  add_principal(export_key, key_export.as);

  CLI::App* drill =
      add(*key, "drill", "Rehearse the bad day: unlock disks with nothing but the store",
          "Examples:\n"
          "  cairn --recovery-key recovery-key.txt key drill\n"
          "  cairn key drill web-01@latest\n"
          "\n"
          "Opens the keys in the recovery point (default: the newest of every machine) and tries them on the\n"
          "headers in it, in memory only; nothing is left behind. With --recovery-key it is the printed key\n"
          "that is tried, as on a host without vault and settings (--store DIR).",
          [this] { return Command(key_drill); });
  completes[drill->add_option("point", key_drill.point, "The recovery point")->type_name("MACHINE@POINT")] =
      Kind::points;
}

}  // namespace cairn::cli
