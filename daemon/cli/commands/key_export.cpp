// SPDX-License-Identifier: GPL-3.0-or-later
// cairn key export: a disk's BEK in the clear, to unlock it: from its vault, or from a recovery point alone. Document
// (only with a file): {"of","disk","secret","version","type","to"}.
#include <unistd.h>

#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/prompt.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/disk_choice.h"
#include "daemon/cli/work/vault_choice.h"
#include "daemon/keys/point_unlock.h"
#include "fs/store/store.h"

namespace cairn::cli {
namespace {

struct KeyExportCommand {
  std::string what;    // MACHINE/DISK: from the vault; MACHINE@POINT: from the recovery point
  std::string disk;    // of MACHINE@POINT; empty: its only encrypted one
  std::string secret;  // which BEK of the disk, when it has several
  std::string to;      // a new file or "-"
  std::string as;
};

struct Exported {
  std::string disk;
  std::string secret;
  std::string version;
  BekType type{};
  SecretBytes bek;
};

// The one that is named, or the only one. Errors: used_wrongly.
template <class Bek, class NameOf>
Result<const Bek*> choose_bek(const std::vector<Bek>& beks, const std::string& wanted, const std::string& object,
                              NameOf name_of) {
  std::string names;
  for (const Bek& bek : beks) {
    if (name_of(bek) == wanted) return &bek;
    names += (names.empty() ? "" : ", ") + name_of(bek);
  }
  if (wanted.empty() && beks.size() == 1) return &beks.front();
  return fail(ErrorCode::used_wrongly, "export the key of", object,
              wanted.empty() ? "it has several: " + names : "it has no " + wanted + ", only " + names,
              "say which with --secret VAULT/NAME");
}

Result<Exported> from_vault(Context& context, const KeyExportCommand& command) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  CAIRN_TRY(const ChosenDisk disk, choose_disk(*settings, command.what));
  if (disk.settings->beks.empty())
    return fail(ErrorCode::keys_missing, "export the key of", disk.object, "the settings name no bek for it",
                "name one, or export it from a recovery point: MACHINE@POINT");
  CAIRN_TRY(const VaultReference* const chosen,
            choose_bek(disk.settings->beks, command.secret, disk.object, [](const auto& bek) { return bek.text(); }));
  const VaultReference& secret = *chosen;
  CAIRN_TRY(const auto vault, open_vault_as(*settings, secret.vault, command.as));
  CAIRN_TRY(StoredBek stored, vault->get_secret(secret.name));
  CAIRN_TRY(SecretBytes bek, vault->unwrap(stored.bek.kek, stored.bek.wrapped));
  return Exported{disk.object, secret.text(), std::move(stored.version), stored.bek.type, std::move(bek)};
}

Result<Exported> from_point(Context& context, const KeyExportCommand& command) {
  CAIRN_TRY(const auto store, context.open_store());
  CAIRN_TRY(const PointName name, store->points().find(command.what));
  CAIRN_TRY(const RecoveryPoint point, store->points().load(name));
  const DiskRecord* chosen = nullptr;
  std::string with_keys;
  for (const DiskRecord& disk : point.disks) {
    if (disk.beks.empty() || (!command.disk.empty() && disk.name != command.disk)) continue;
    if (chosen != nullptr)
      return fail(ErrorCode::used_wrongly, "export the key of", name.text(),
                  "disks " + chosen->name + " and " + disk.name + " have keys", "say which with --disk NAME");
    chosen = &disk;
  }
  if (chosen == nullptr && !command.disk.empty() && point.disk(command.disk) == nullptr)
    return fail(ErrorCode::no_such_disk, "export the key of", name.text() + "/" + command.disk,
                "the point has no such disk");
  if (chosen == nullptr) return fail(ErrorCode::no_escrowed_keys, "export the key of", name.text());
  CAIRN_TRY(const BekRecord* const bek_record,
            choose_bek(chosen->beks, command.secret, name.text(), [](const auto& bek) { return bek.reference(); }));
  const BekRecord& record = *bek_record;
  CAIRN_TRY(SecretBytes bek, open_bek(point, record, store->keys().escrow_keys()));
  return Exported{name.text() + "/" + chosen->name, record.reference(), record.version, record.bek.type,
                  std::move(bek)};
}

Result<ExitCode> run(Context& context, const KeyExportCommand& command) {
  const bool to_output = command.to == "-";
  if (to_output && (context.output().format() == Format::json || is_terminal(STDOUT_FILENO)))
    return fail(ErrorCode::used_wrongly, "export the key of", command.what,
                context.output().format() == Format::json ? "a key is never put into a JSON document"
                                                          : "standard output is a terminal",
                "pipe it into cryptsetup, or give --to FILE");
  CAIRN_TRY(const Exported exported,
            command.what.find('@') == std::string::npos ? from_vault(context, command) : from_point(context, command));
  if (to_output) {
    CAIRN_CHECK(print_secret(exported.bek, {}));
    return ExitCode::done;
  }
  CAIRN_CHECK(write_secret_file(command.to, exported.bek, {}));
  const nlohmann::json document{{"of", command.what},
                                {"disk", exported.disk},
                                {"secret", exported.secret},
                                {"version", exported.version},
                                {"type", to_string(exported.type)},
                                {"to", command.to}};
  CAIRN_CHECK(context.output().answer(document, "wrote " + std::string(to_string(exported.type)) + " " +
                                                    exported.secret + " version " + exported.version + " to " +
                                                    command.to + "\n  It opens the disk " + exported.disk +
                                                    ": delete the file when you are done.\n"));
  return ExitCode::done;
}

}  // namespace

CommandSpec key_export_command() {
  CommandSpec spec;
  spec.words = "key export";
  spec.summary = "Hand out the BEK of a disk in the clear, to unlock it";
  spec.examples = {"cairn key export web-01/root --to - | cryptsetup open --key-file - web-01.img web-01",
                   "cairn --store /mnt/store --recovery-key paper.txt key export web-01@latest --to key"};
  spec.notes =
      "MACHINE/DISK: from the vault of the settings. MACHINE@POINT: from the recovery point, which\n"
      "needs neither vault nor settings. FILE is new, of mode 0600; - is standard output, which may\n"
      "not be a terminal.";
  spec.options = {
      value("what", "MACHINE/DISK|MACHINE@POINT", "MACHINE/DISK or MACHINE@POINT", &KeyExportCommand::what,
            Completes::points)
          .required(),
      value("--disk", "NAME", "With MACHINE@POINT: whose key", &KeyExportCommand::disk, Completes::disk_names),
      value("--secret", "VAULT/NAME", "Which bek of the disk, when it has several", &KeyExportCommand::secret,
            Completes::secrets),
      value("--to", "FILE", "A new file; -: standard output", &KeyExportCommand::to, Completes::files).required(),
      principal_option(&KeyExportCommand::as),
  };
  set_action<KeyExportCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
