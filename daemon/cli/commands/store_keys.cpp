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
#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/grammar/option_values.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/key_label.h"
#include "daemon/cli/text/prompt.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/undo.h"
#include "fs/store/slots_in_use.h"
#include "fs/store/store.h"

namespace cairn::cli {
namespace {

struct KeysListCommand {};

struct KeysAddCommand {
  // One of these four.
  std::string key_file;
  std::string passphrase_file;
  bool passphrase = false;  // asked for on the terminal
  bool recovery = false;
  std::string recovery_key_out;  // recovery: a file or "-"
  std::string label;
};

struct KeysRemoveCommand {
  std::string slot;  // id or label
  bool yes = false;
  bool force = false;
};

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
  NewKeySlot slot;
  slot.label = command.label;
  if (command.recovery) {
    slot.type = KeySlotType::recovery;
    if (slot.label.empty()) slot.label = "recovery";
    return slot;
  }
  if (command.passphrase) {
    slot.type = KeySlotType::passphrase;
    if (slot.label.empty()) slot.label = "passphrase";
    CAIRN_TRY(slot.secret, ask_new_passphrase());
    return slot;
  }
  KeySettings settings;
  const std::string& file = command.key_file.empty() ? command.passphrase_file : command.key_file;
  (command.key_file.empty() ? settings.passphrase_file : settings.key_file) = std::filesystem::absolute(file);
  // Read exactly as it will be read to unlock.
  CAIRN_TRY(UnlockKey key, read_unlock_key(settings));
  slot.type = key.type;
  slot.secret = std::move(key.secret);
  if (slot.label.empty()) {
    slot.label = std::filesystem::path(file).filename().string();
    CAIRN_CHECK(check_key_label("add key " + printable(file), slot.label));
  }
  return slot;
}

const KeySlotFactsRow* find_slot(const std::vector<KeySlotFactsRow>& slots, const std::string& label) {
  const auto found = std::find_if(slots.begin(), slots.end(),
                                  [&](const auto& slot) { return slot.label == label || slot.id == label; });
  return found == slots.end() ? nullptr : &*found;
}

// Whether the settings' key opens the store by that slot alone. Errors: why that cannot be known.
Result<bool> only_slot_of_settings(const Settings& settings, const std::string& id) {
  CAIRN_TRY(const UnlockKey key, read_unlock_key(settings.store.key));
  const auto opened = slots_opened_by(settings.store.path, key);
  if (!opened && opened.error().code == ErrorCode::wrong_key) return false;
  if (!opened) return pass_on(opened.error());
  return opened->size() == 1 && opened->front() == id;
}

Result<void> check(KeysAddCommand& command, const GlobalOptions&) {
  const int kinds = (command.key_file.empty() ? 0 : 1) + (command.passphrase_file.empty() ? 0 : 1) +
                    (command.passphrase ? 1 : 0) + (command.recovery ? 1 : 0);
  if (kinds != 1)
    return misuse("add key", kinds == 0 ? "no key is named" : "more than one key is named",
                  "give one of --key-file FILE, --passphrase-file FILE, --passphrase, --recovery");
  if (!command.recovery_key_out.empty() && !command.recovery)
    return misuse("add key", "--recovery-key-out goes with --recovery only");
  if (command.recovery && command.recovery_key_out.empty()) command.recovery_key_out = "-";
  return {};
}

Result<ExitCode> run(Context& context, const KeysListCommand&) {
  CAIRN_TRY(const std::unique_ptr<Store> store, context.open_store());
  CAIRN_TRY(const std::vector<KeySlotFactsRow> slots, store->keys().slots());
  const nlohmann::json rows = document_of(slots);
  CAIRN_CHECK(context.output().answer(rows, render_key_slots(rows)));
  return ExitCode::done;
}

Result<ExitCode> run(Context& context, const KeysAddCommand& command) {
  const bool recovery = command.recovery;
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
  CAIRN_CHECK(store->keys().add_slot(slot));
  undo.keep();  // from here on the file opens the store, whatever else fails
  if (print_recovery) {
    undo.add([&store, label = slot.label] {  // a slot whose key nobody has seen
      // Where that fails too, it is seen in "keys list".
      (void)without_exceptions("remove key slot", label, [&] { return store->keys().remove_slot(label); });
    });
  }
  CAIRN_TRY(const std::vector<KeySlotFactsRow> slots, store->keys().slots());
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
  CAIRN_TRY(const std::vector<KeySlotFactsRow> before, store->keys().slots());
  const KeySlotFactsRow* meant = find_slot(before, command.slot);
  if (meant == nullptr) return fail(ErrorCode::no_such_key_slot, "remove key slot", command.slot);
  const std::string object = meant->label + " (" + meant->id + ")";
  if (before.size() == 1) return fail(ErrorCode::last_key_slot, "remove key slot", object);
  const auto needed = only_slot_of_settings(*settings, meant->id);
  if (needed && *needed && !command.force)
    return fail(ErrorCode::key_in_use, "remove key slot", object,
                "the key that the settings name opens the store by this slot alone: the daemon would not start again",
                "change store.key_file (or what stands there) first; --force removes it all the same");
  CAIRN_CHECK(confirm("Remove key " + printable(object) + " from store " + store->path().string() + "?", command.yes,
                      "remove key slot", object));
  CAIRN_CHECK(store->keys().remove_slot(meant->id));
  CAIRN_TRY(const std::vector<KeySlotFactsRow> slots, store->keys().slots());
  nlohmann::json document{
      {"removed", command.slot}, {"slots", document_of(slots)}, {"warnings", nlohmann::json::array()}};
  std::string text = "removed key " + printable(command.slot) + "\n";
  const auto warn = [&](const std::string& warning) {
    document["warnings"].push_back(warning);
    text += "warning: " + printable(warning) + "\n";
  };
  if (needed && *needed)
    warn(
        "the key that the settings name does not open the store any more: change store.key_file (or what stands "
        "there) before the daemon starts again");
  if (!needed)
    warn("whether the key that the settings name still opens the store is not known: " + needed.error().message());
  if (std::ranges::none_of(slots, [](const auto& slot) { return slot.type == KeySlotType::recovery; }))
    warn(
        "no recovery key is left: after a fire nothing on paper opens the store; \"cairn store keys add --recovery\" "
        "makes one");
  CAIRN_CHECK(context.output().answer(document, text));
  return document["warnings"].empty() ? ExitCode::done : ExitCode::warnings;
}

}  // namespace

std::string render_key_slots(const nlohmann::json& rows) {
  Table table({{"ID"}, {"TYPE"}, {"LABEL"}, {"CREATED"}});
  for (const auto& row : rows)
    table.add({text_of(row, "id"), text_of(row, "type"), text_of(row, "label"), time_of(row, "created")});
  return table.text();
}

CommandSpec store_keys_list_command() {
  CommandSpec spec;
  spec.words = "store keys list";
  spec.summary = "List the key slots";
  spec.examples = {"cairn store keys list"};
  set_action<KeysListCommand>(spec, run);
  return spec;
}

CommandSpec store_keys_add_command() {
  CommandSpec spec;
  spec.words = "store keys add";
  spec.summary = "Add a key";
  spec.examples = {"cairn store keys add --key-file /etc/cairn/second.key --label second",
                   "cairn store keys add --passphrase --label admin",
                   "cairn store keys add --recovery --recovery-key-out /root/recovery-key.txt"};
  spec.options = {
      value("--key-file", "FILE", "A file with at least 32 random bytes, mode 0600", &KeysAddCommand::key_file,
            Completes::files),
      value("--passphrase-file", "FILE", "A file with a passphrase, mode 0600", &KeysAddCommand::passphrase_file,
            Completes::files),
      flag("--passphrase", "A passphrase, asked for twice on the terminal", &KeysAddCommand::passphrase),
      flag("--recovery", "A recovery key to print and keep on paper", &KeysAddCommand::recovery),
      value("--recovery-key-out", "FILE", "Where the recovery key goes (default -: standard output)",
            &KeysAddCommand::recovery_key_out, Completes::files),
      parsed_value("--label", "LABEL", "What the key is called in \"keys list\": 1 to 64 bytes of UTF-8 text",
                   &KeysAddCommand::label, [](const std::string& text) { return parse_label(text, "add key"); }),
  };
  set_action<KeysAddCommand>(spec, run, check);
  return spec;
}

CommandSpec store_keys_remove_command() {
  CommandSpec spec;
  spec.words = "store keys remove";
  spec.summary = "Remove a key";
  spec.examples = {"cairn store keys remove admin", "cairn store keys remove 5f3a9c01 --yes"};
  spec.notes =
      "The last key that can open the store cannot be removed, and the one that the settings open it with\n"
      "only with --force. Copies of the store that were made earlier still open with the removed key. Without\n"
      "a terminal to ask on, --yes is needed.";
  spec.options = {
      value("slot", "ID|LABEL", "Id or label, as \"keys list\" shows them", &KeysRemoveCommand::slot).required(),
      flag("--yes", "Do not ask", &KeysRemoveCommand::yes),
      flag("--force", "Also the key that the settings open the store with", &KeysRemoveCommand::force),
  };
  set_action<KeysRemoveCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
