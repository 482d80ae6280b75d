// SPDX-License-Identifier: GPL-3.0-or-later
// cairn store init: makes the store named in the settings, and when asked its key file and a recovery key. What this
// run has made is taken away again when a later step fails. Document: {"path","id","chunk_size","key_file":PATH|null
// (when made here),"recovery_key":{"file":PATH|null}|null}
#include <filesystem>
#include <nlohmann/json.hpp>

#include "config/base/units.h"
#include "crypto/key_slots.h"
#include "crypto/unlock_key.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/grammar/option_values.h"
#include "daemon/cli/text/prompt.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/undo.h"
#include "fs/store/create_store.h"
#include "fs/store/store.h"

namespace cairn::cli {
namespace {

struct StoreInitCommand {
  std::optional<std::uint64_t> chunk_size;  // bytes; nothing: the store's default
  bool create_key_file = false;
  std::string recovery_key_out;  // a file or "-" (standard output); empty: none asked for
  std::string label;             // of the slot for the settings' key; empty: "settings"
};

// create_store() accepts only a directory that is empty or not there yet, so all that is in it now is of this run.
void remove_new_store(const std::filesystem::path& path, bool with_directory) {
  std::error_code ignored;
  if (with_directory) {
    std::filesystem::remove_all(path, ignored);
    return;
  }
  for (std::filesystem::directory_iterator entry(path, ignored), end; !ignored && entry != end;
       entry.increment(ignored)) {
    std::error_code ignored_too;
    std::filesystem::remove_all(entry->path(), ignored_too);
  }
}

Result<bool> make_key_file(const KeySettings& key, Undo& undo) {
  if (!key.key_file)
    return fail(ErrorCode::used_wrongly, "make key file", {}, "the settings do not name store.key_file",
                "name it there, or leave out --create-key-file");
  std::error_code ignored;
  if (std::filesystem::exists(std::filesystem::symlink_status(*key.key_file, ignored))) return false;
  const std::string path = key.key_file->string();
  CAIRN_CHECK(create_key_file(path));
  undo.add([path] {
    std::error_code ignored_too;
    std::filesystem::remove(path, ignored_too);
  });
  return true;
}

std::string text_of_init(const Store& store, const std::string& key_file, const StoreInitCommand& command) {
  std::string text =
      "created store " + store.path().string() + " with chunks of " + format_size(store.info().chunk_size) + "\n";
  if (!key_file.empty())
    text += "created key file " + key_file + "\n  Keep a copy of it in a safe place, away from the store.\n";
  if (command.recovery_key_out.empty()) return text;
  text += command.recovery_key_out == "-" ? "the recovery key, which is not kept anywhere:\n"
                                          : "wrote the recovery key to " + command.recovery_key_out + "\n";
  text +=
      "  Print it, keep it on paper away from this host, and delete the file or clear the screen. Whoever has it and\n"
      "  the store can read every backup. It opens the store when the key is lost:  cairn --recovery-key FILE points\n";
  return text;
}

Result<std::optional<std::uint64_t>> parse_chunk_size(const std::string& text) {
  const auto size = parse_size(text);
  if (size) return size;
  return misuse("make store", "\"" + text + "\" is no size", "give --chunk-size as a power of two from 64KiB to 4MiB");
}

Result<ExitCode> run(Context& context, const StoreInitCommand& command) {
  const bool print_recovery = command.recovery_key_out == "-";
  if (print_recovery && context.output().format() == Format::json)
    return fail(ErrorCode::used_wrongly, "make store", {}, "a recovery key is never put into a JSON document",
                "give --recovery-key-out FILE");
  CAIRN_TRY(const Settings* const settings, context.settings());
  StoreParameters parameters;
  if (command.chunk_size) {
    const std::uint64_t size = *command.chunk_size;
    if (size < kMinChunkSize || size > kMaxChunkSize || (size & (size - 1)) != 0)
      return fail(ErrorCode::used_wrongly, "make store", settings->store.path.string(),
                  "chunks of " + std::to_string(size) + " bytes are not possible",
                  "give --chunk-size as a power of two from 64KiB to 4MiB");
    parameters.chunk_size = static_cast<std::uint32_t>(size);
  }

  const std::filesystem::path& path = settings->store.path;
  std::error_code ignored;
  // Said before anything is made: a key file beside somebody else's store would only confuse.
  if (std::filesystem::exists(path / "store.json", ignored))
    return fail(ErrorCode::store_exists, "make store", path.string(), "there is a store already");
  const bool new_directory = !std::filesystem::exists(path, ignored);

  Undo undo;
  bool made_key_file = false;
  if (command.create_key_file) {
    CAIRN_TRY(made_key_file, make_key_file(settings->store.key, undo));
  }
  auto read_key = read_unlock_key(settings->store.key);
  if (!read_key && read_key.error().code == ErrorCode::key_file_missing)
    read_key.error().resolution = "\"cairn store init --create-key-file\" makes one";
  CAIRN_TRY(const UnlockKey key, std::move(read_key));
  SecretBytes recovery_text;
  NewKeySlot recovery;
  if (!command.recovery_key_out.empty()) {
    RecoveryKeyPair pair = make_recovery_key();
    recovery_text = print_recovery_key(pair.secret);
    recovery.type = KeySlotType::recovery;
    recovery.label = "recovery";
    recovery.recovery_public = std::move(pair.public_half);
    if (!print_recovery) {
      CAIRN_CHECK(write_secret_file(command.recovery_key_out, recovery_text, "\n"));
      undo.add([file = command.recovery_key_out] {
        std::error_code ignored_too;
        std::filesystem::remove(file, ignored_too);
      });
    }
  }
  std::vector<NewKeySlot> slots(1);
  slots[0].type = key.type;
  slots[0].label = command.label.empty() ? "settings" : command.label;
  slots[0].secret = SecretBytes::copy_of(key.secret.reveal());
  if (!command.recovery_key_out.empty()) slots.push_back(std::move(recovery));
  CAIRN_CHECK(create_store(path, parameters, slots));
  undo.add([path, new_directory] { remove_new_store(path, new_directory); });
  CAIRN_TRY(const std::unique_ptr<Store> store, Store::open(path, key));

  nlohmann::json document{{"path", path.string()},
                          {"id", store->info().id},
                          {"chunk_size", store->info().chunk_size},
                          {"key_file", nullptr},
                          {"recovery_key", nullptr}};
  const std::string key_file = made_key_file ? settings->store.key.key_file->string() : std::string();
  if (made_key_file) document["key_file"] = key_file;
  if (!command.recovery_key_out.empty()) document["recovery_key"] = {{"file", command.recovery_key_out}};
  CAIRN_CHECK(context.output().answer(document, text_of_init(*store, key_file, command)));
  if (print_recovery) CAIRN_CHECK(print_secret(recovery_text, "\n"));  // failing that, nobody has the key
  undo.keep();
  if (command.recovery_key_out.empty())
    context.output().note(
        "note: only the settings' key opens this store; if it is lost, so are all backups. Add a recovery key to keep "
        "on "
        "paper:\n  cairn store keys add --recovery --recovery-key-out FILE");
  return ExitCode::done;
}

}  // namespace

CommandSpec store_init_command() {
  CommandSpec spec;
  spec.words = "store init";
  spec.summary = "Create the store named in the settings";
  spec.examples = {"cairn store init --create-key-file --recovery-key-out /root/recovery-key.txt",
                   "cairn store init --chunk-size 256KiB"};
  spec.notes =
      "The store opens with the key that the settings name (store.key_file, store.passphrase_file or\n"
      "store.passphrase_command). The recovery key opens it too, when that key is lost: print it and\n"
      "keep it on paper. If anything fails, nothing half-made stays behind.";
  spec.options = {
      parsed_value("--chunk-size", "SIZE", "64KiB to 4MiB, a power of two; cannot be changed later",
                   &StoreInitCommand::chunk_size, parse_chunk_size),
      flag("--create-key-file", "Make store.key_file when it does not exist", &StoreInitCommand::create_key_file),
      value("--recovery-key-out", "FILE", "Make a recovery key and write it to FILE (-: standard output)",
            &StoreInitCommand::recovery_key_out, Completes::files),
      parsed_value("--label", "LABEL", "Label of the settings' key (default: settings)", &StoreInitCommand::label,
                   [](const std::string& text) { return parse_label(text, "make store"); }),
  };
  set_action<StoreInitCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
