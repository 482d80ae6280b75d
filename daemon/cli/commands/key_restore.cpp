// SPDX-License-Identifier: GPL-3.0-or-later
// cairn key restore: the KEKs and BEKs of a recovery point, back into a vault. Document:
// {"point","vault","keys":[{"kind": "kek"|"bek","name","version","done":"put back"|"was there"|"wrapped anew"}]}.
#include <algorithm>

#include "crypto/vault/kek_backup.h"
#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/vault_choice.h"
#include "daemon/keys/point_unlock.h"
#include "fs/store/store.h"

namespace cairn::cli {
namespace {

using nlohmann::json;

struct KeyRestoreCommand {
  std::string point;
  std::string vault;
  std::string disk;  // empty: all
  std::string as;
};

std::string in_words(Restored restored) {
  return restored == Restored::put_back ? "put back" : "was there";
}

class KeyRestore {
 public:
  KeyRestore(const RecoveryPoint& point, KeyVault& vault, const EscrowKeys& owner)
      : point_(point), vault_(vault), owner_(owner) {}

  // Nothing is changed when anything in the vault differs from the point: all is compared first.
  Result<json> run(const std::vector<const BekRecord*>& beks) {
    for (const BekRecord* bek : beks) CAIRN_CHECK(compare(*bek));
    for (const BekRecord* bek : beks) {
      const KekRecord* kek = point_.kek_of(*bek);
      if (kek != nullptr && kek->backup.portable)
        CAIRN_CHECK(put_back(*kek, *bek));
      else
        CAIRN_CHECK(wrap_anew(*bek));
    }
    return rows_;
  }

 private:
  // Whether the same version of the secret is there and another.
  Result<void> compare(const BekRecord& bek) {
    const auto there = vault_.get_secret(bek.secret);
    if (!there) {
      if (there.error().code == ErrorCode::secret_missing) return {};
      return pass_on(there.error());
    }
    if (there->version == bek.version && !(there->bek == bek.bek))
      return fail(ErrorCode::keys_differ, "restore the keys of", point_.name.text(),
                  "the vault " + vault_.name() + " has another BEK " + bek.secret + " version " + bek.version);
    return {};
  }

  Result<void> put_back(const KekRecord& kek, const BekRecord& bek) {
    CAIRN_TRY(const Restored key, vault_.restore_kek(kek.backup, owner_));
    add("kek", kek.backup.name, kek.backup.version, in_words(key));
    CAIRN_TRY(const Restored secret, vault_.restore_secret(bek.secret, {bek.version, bek.bek}));
    add("bek", bek.secret, bek.version, in_words(secret));
    return {};
  }

  // Its KEK never left the vault it was in: a KEK of that name here wraps the BEK from escrow.
  Result<void> wrap_anew(const BekRecord& record) {
    CAIRN_TRY(const SecretBytes plain, open_bek(point_, record, owner_));
    auto kek = vault_.get_kek(record.bek.kek);
    if (!kek && kek.error().code == ErrorCode::kek_missing) {
      kek = vault_.create_kek(record.bek.kek, KekType::x25519);
      if (!kek && kek.error().code == ErrorCode::kek_wrong_type)
        kek = vault_.create_kek(record.bek.kek, KekType::rsa_3072);
      if (kek) add("kek", kek->name, kek->versions.back().version, "created, as the old one never left its vault");
    }
    if (!kek) return pass_on(std::move(kek).error());
    CAIRN_TRY(const bool same, has_the_same(record, plain));
    if (same) {
      add("bek", record.secret, record.version, "was there");
      return {};
    }
    WrappedBek bek = record.bek;
    CAIRN_TRY(bek.wrapped, vault_.wrap(kek->name, plain));
    CAIRN_TRY(const std::string version, vault_.set_secret(record.secret, bek));
    add("bek", record.secret, version, "wrapped anew");
    return {};
  }

  Result<bool> has_the_same(const BekRecord& record, const SecretBytes& plain) {
    const auto there = vault_.get_secret(record.secret);
    if (!there) {
      if (there.error().code == ErrorCode::secret_missing) return false;
      return pass_on(there.error());
    }
    const auto opened = vault_.unwrap(there->bek.kek, there->bek.wrapped);
    if (opened && std::ranges::equal(opened->reveal(), plain.reveal())) return true;
    return fail(ErrorCode::keys_differ, "restore the keys of", point_.name.text(),
                "the vault " + vault_.name() + " has another BEK " + record.secret);
  }

  void add(const char* kind, const std::string& name, const std::string& version, const std::string& done) {
    json row{{"kind", kind}, {"name", name}, {"version", version}, {"done", done}};
    if (std::ranges::find(rows_, row) == rows_.end()) rows_.push_back(std::move(row));
  }

  const RecoveryPoint& point_;
  KeyVault& vault_;
  const EscrowKeys& owner_;
  json rows_ = json::array();
};

Result<ExitCode> run(Context& context, const KeyRestoreCommand& command) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  CAIRN_TRY(const std::string name, choose_vault(*settings, command.vault));
  CAIRN_TRY(const auto store, context.open_store());
  CAIRN_TRY(const PointName found, store->points().find(command.point));
  CAIRN_TRY(const RecoveryPoint point, store->points().load(found));
  std::vector<const BekRecord*> beks;
  for (const DiskRecord& disk : point.disks)
    if (command.disk.empty() || disk.name == command.disk)
      for (const BekRecord& bek : disk.beks) beks.push_back(&bek);
  if (!command.disk.empty() && point.disk(command.disk) == nullptr)
    return fail(ErrorCode::no_such_disk, "restore the keys of", found.text() + "/" + command.disk,
                "the point has no such disk");
  if (beks.empty()) return fail(ErrorCode::no_escrowed_keys, "restore the keys of", found.text());
  CAIRN_TRY(const auto vault, open_vault_as(*settings, name, command.as));
  CAIRN_TRY(json rows, KeyRestore(point, *vault, store->keys().escrow_keys()).run(beks));
  const json document{{"point", found.text()}, {"vault", name}, {"keys", std::move(rows)}};
  CAIRN_CHECK(context.output().answer(document, render_key_restore(document)));
  return ExitCode::done;
}

}  // namespace

std::string render_key_restore(const json& document) {
  std::string text;
  for (const auto& row : member(document, "keys"))
    text += (text_of(row, "kind") == "kek" ? "KEK " : "BEK ") + text_of(document, "vault") + "/" +
            text_of(row, "name") + " version " + text_of(row, "version") + ": " + text_of(row, "done") + "\n";
  return printable(text, Lines::keep);
}

CommandSpec key_restore_command() {
  CommandSpec spec;
  spec.words = "key restore";
  spec.summary = "Put the keys of a recovery point back into a vault";
  spec.examples = {"cairn key restore web-01@latest --vault main"};
  spec.notes =
      "What is missing is put back; what is there and the same stays; what is there and differs\n"
      "is never overwritten: the command stops there and says what it is.";
  spec.options = {
      value("point", "MACHINE@POINT", "The recovery point", &KeyRestoreCommand::point, Completes::points).required(),
      vault_option(&KeyRestoreCommand::vault),
      value("--disk", "NAME", "Only the keys of this disk", &KeyRestoreCommand::disk, Completes::disk_names),
      principal_option(&KeyRestoreCommand::as),
  };
  set_action<KeyRestoreCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
