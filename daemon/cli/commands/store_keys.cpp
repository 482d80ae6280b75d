// SPDX-License-Identifier: GPL-3.0-or-later
// cairn store keys list, add, remove. A slot's document: {"id","type","label","created"}; list: an array of them;
// add: {"slot":SLOT,"recovery_key":{"file"}|null}; remove: {"removed":ID|LABEL,"slots":[SLOT],"warnings":[TEXT]}
#include <sodium.h>

#include <algorithm>
#include <exception>
#include <filesystem>

#include "config/base/exception_door.h"
#include "crypto/key_slots.h"
#include "crypto/unlock_key.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/key_label.h"
#include "daemon/cli/text/prompt.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/commands.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/undo.h"
#include "fs/store/store.h"

namespace cairn::cli {
namespace {

nlohmann::json document_of(const std::vector<KeySlotFactsRow>& slots) {
  nlohmann::json rows = nlohmann::json::array();
  for (const KeySlotFactsRow& slot : slots)
    rows.push_back(
        {{"id", slot.id}, {"type", to_string(slot.type)}, {"label", slot.label}, {"created", iso_time(slot.created)}});
  return rows;
}

Result<SecretBytes> ask_new_passphrase() {
  CAIRN_TRY(SecretBytes first, ask_secret("New passphrase: "));
  CAIRN_TRY(const SecretBytes second, ask_secret("The same again: "));
  if (first.size() != second.size() || sodium_memcmp(first.reveal().data(), second.reveal().data(), first.size()) != 0)
    return fail(ErrorCode::used_wrongly, "add key", {}, "the two passphrases differ", "try again");
  return first;
}

// All but a recovery key, whose halves are made by the caller.
Result<NewKeySlot> new_slot(const KeysAddCommand& command) {
  using From = KeysAddCommand::From;
  NewKeySlot slot;
  slot.label = command.label;
  KeySettings settings;
  switch (command.from) {
    case From::recovery:
      slot.type = KeySlotType::recovery;
      if (slot.label.empty()) slot.label = "recovery";
      return slot;
    case From::terminal: {
      slot.type = KeySlotType::passphrase;
      if (slot.label.empty()) slot.label = "passphrase";
      CAIRN_TRY(slot.secret, ask_new_passphrase());
      return slot;
    }
    case From::key_file:
      settings.key_file = std::filesystem::absolute(command.file);
      break;
    case From::passphrase_file:
      settings.passphrase_file = std::filesystem::absolute(command.file);
      break;
  }
  // Read exactly as it will be read to unlock.
  CAIRN_TRY(UnlockKey key, read_unlock_key(settings));
  slot.type = key.type;
  slot.secret = std::move(key.secret);
  if (slot.label.empty()) {
    slot.label = std::filesystem::path(command.file).filename().string();
    CAIRN_CHECK(check_key_label("add key " + printable(command.file), slot.label));
  }
  return slot;
}

const KeySlotFactsRow* find_slot(const std::vector<KeySlotFactsRow>& slots, const std::string& label) {
  const auto found = std::find_if(slots.begin(), slots.end(), [&](const auto& slot) { return slot.label == label; });
  return found == slots.end() ? nullptr : &*found;
}

}  // namespace

std::string render_key_slots(const nlohmann::json& rows) {
  Table table({{"ID"}, {"TYPE"}, {"LABEL"}, {"CREATED"}});
  for (const auto& row : rows)
    table.add({text_of(row, "id"), text_of(row, "type"), text_of(row, "label"), time_of(row, "created")});
  return table.text();
}

Result<ExitCode> run(Context& context, const KeysListCommand&) {
  CAIRN_TRY(const std::unique_ptr<Store> store, context.open_store());
  CAIRN_TRY(const std::vector<KeySlotFactsRow> slots, store->key_slots());
  const nlohmann::json rows = document_of(slots);
  CAIRN_CHECK(context.output().answer(rows, render_key_slots(rows)));
  return ExitCode::done;
}

Result<ExitCode> run(Context& context, const KeysAddCommand& command) {
  const bool recovery = command.from == KeysAddCommand::From::recovery;
  const bool print_recovery = recovery && command.recovery_key_out == "-";
  if (print_recovery && context.output().format() == Format::json)
    return fail(ErrorCode::used_wrongly, "add key", {}, "a recovery key is never put into a JSON document",
                "give --recovery-key-out FILE");
  CAIRN_TRY(const std::unique_ptr<Store> store, context.open_store());
  CAIRN_TRY(NewKeySlot slot, new_slot(command));
  SecretBytes recovery_text;
  Undo undo;
  if (recovery) {
    RecoveryKeyPair pair = make_recovery_key();
    recovery_text = print_recovery_key(pair.secret);
    slot.recovery_public = std::move(pair.public_half);
    // The paper first: a slot that nobody has the key of would only look like safety.
    if (!print_recovery) {
      CAIRN_CHECK(write_secret_file(command.recovery_key_out, recovery_text, "\n"));
      undo.add([file = command.recovery_key_out] {
        std::error_code ignored;
        std::filesystem::remove(file, ignored);
      });
    }
  }
  CAIRN_CHECK(store->add_key_slot(slot));
  undo.keep();  // from here on the file opens the store, whatever else fails
  if (print_recovery) {
    undo.add([&store, label = slot.label] {  // a slot whose key nobody has seen
      // Where that fails too, it is seen in "keys list".
      (void)without_exceptions("remove key slot", label, [&] { return store->remove_key_slot(label); });
    });
  }
  CAIRN_TRY(const std::vector<KeySlotFactsRow> slots, store->key_slots());
  const KeySlotFactsRow* row = find_slot(slots, slot.label);
  const nlohmann::json rows = row != nullptr ? document_of({*row}) : nlohmann::json::array({nullptr});
  nlohmann::json document{{"slot", rows[0]}, {"recovery_key", nullptr}};
  std::string text = "added " + std::string(to_string(slot.type)) + " key \"" + printable(slot.label) + "\"\n";
  if (recovery) {
    document["recovery_key"] = {{"file", command.recovery_key_out}};
    if (!print_recovery) text += "wrote the recovery key to " + command.recovery_key_out + "\n";
    text +=
        "  Print it, keep it on paper away from this host, and delete the file or clear the screen. Whoever has it "
        "and\n"
        "  the store can read every backup.\n";
  }
  CAIRN_CHECK(context.output().answer(document, text));
  if (print_recovery) CAIRN_CHECK(print_secret(recovery_text, "\n"));
  undo.keep();
  return ExitCode::done;
}

Result<ExitCode> run(Context& context, const KeysRemoveCommand& command) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  CAIRN_TRY(const std::unique_ptr<Store> store, context.open_store());
  if (!command.yes && !confirm("Remove key " + printable(command.slot) + " from store " + store->path().string() + "?"))
    return fail(ErrorCode::cancelled, "remove key", command.slot, "the answer was no", "answer y, or give --yes");
  CAIRN_CHECK(store->remove_key_slot(command.slot));
  CAIRN_TRY(const std::vector<KeySlotFactsRow> slots, store->key_slots());
  nlohmann::json document{
      {"removed", command.slot}, {"slots", document_of(slots)}, {"warnings", nlohmann::json::array()}};
  std::string text = "removed key " + printable(command.slot) + "\n";
  // The daemon would find out at its next start, which may be on a bad day.
  const auto key = read_unlock_key(settings->store.key);
  const auto opened = key ? Store::open(settings->store.path, *key) : Result<std::unique_ptr<Store>>(nullptr);
  const bool locked_out = !opened && opened.error().code == ErrorCode::wrong_key;
  if (locked_out) {
    const std::string warning =
        "the key that the settings name does not open the store any more: change store.key_file "
        "(or what stands there) before the daemon starts again";
    document["warnings"].push_back(warning);
    text += "warning: " + warning + "\n";
  }
  CAIRN_CHECK(context.output().answer(document, text));
  return locked_out ? ExitCode::warnings : ExitCode::done;
}

}  // namespace cairn::cli
