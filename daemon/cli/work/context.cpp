// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/work/context.h"

#include "config/broken_settings.h"
#include "daemon/api/remote_service.h"
#include "daemon/cli/text/prompt.h"
#include "daemon/engine/engine.h"
#include "daemon/engine/store_key.h"
#include "daemon/service/local_service.h"
#include "fs/store/store.h"

namespace cairn::cli {

Context::Context(GlobalOptions globals)
    : globals_(std::move(globals)), output_(globals_.json ? Format::json : Format::text) {}
Context::~Context() = default;

Result<const Settings*> Context::settings() {
  if (settings_) return &*settings_;
  if (globals_.store.empty()) {
    CAIRN_TRY(settings_, load_settings(globals_.settings_file));
    return &*settings_;
  }
  if (globals_.recovery_key.empty())
    return fail(ErrorCode::used_wrongly, "use store", globals_.store.string(),
                "--store goes without settings, and so without the key that they name", "give --recovery-key FILE too");
  Settings settings;
  settings.file = "--store";
  settings.store.path = std::filesystem::absolute(globals_.store).lexically_normal();
  settings.state_dir.clear();  // this host keeps nothing of it
  settings.policies["default"].name = "default";
  settings_ = std::move(settings);
  return &*settings_;
}

Result<UnlockKey> Context::unlock_key() {
  if (globals_.recovery_key.empty()) {
    CAIRN_TRY(const Settings* const settings, this->settings());
    return read_store_key(*settings);
  }
  const bool from_input = globals_.recovery_key == "-";
  const std::string object = from_input ? "standard input" : globals_.recovery_key;
  UnlockKey key;
  key.type = KeySlotType::recovery;
  key.source = object;
  KeyFileRules rules;
  rules.without_modes = "--recovery-key - < " + object;
  CAIRN_TRY(const SecretBytes text,
            from_input ? read_secret_from_input("Recovery key: ") : read_key_file(object, rules));
  CAIRN_TRY(key.secret, parse_recovery_key(text.reveal(), object));
  return key;
}

Result<std::filesystem::path> Context::store_directory() {
  if (!globals_.store.empty()) return std::filesystem::absolute(globals_.store).lexically_normal();
  CAIRN_TRY(const Settings* const settings, this->settings());
  return settings->store.path;
}

Result<std::unique_ptr<Store>> Context::open_store() {
  CAIRN_TRY(const UnlockKey key, unlock_key());
  return open_store_with(key);
}

Result<std::unique_ptr<Store>> Context::open_store_with(const UnlockKey& key) {
  CAIRN_TRY(const Settings* const settings, this->settings());
  CAIRN_TRY(auto store, Store::open(settings->store.path, key));
  warn_of_document(*store);
  return store;
}

// It works all the same; but nobody should learn of it when the copy is damaged too.
void Context::warn_of_document(const Store& store) {
  if (const auto& trouble = store.document_trouble())
    output_.note("warning: " + trouble->message() +
                 "; store.json.copy is used. \"cairn verify --repair\" repairs it [" + std::string(trouble->name()) +
                 "]");
}

Result<bool> Context::find_daemon(const std::filesystem::path& socket) {
  if (globals_.no_daemon || !globals_.recovery_key.empty()) return false;
  auto remote = connect_to_daemon(socket);
  if (!remote && remote.error().code == ErrorCode::daemon_unreachable) return false;
  CAIRN_TRY(remote_, std::move(remote));
  return true;
}

void Context::leave_daemon() {
  remote_.reset();
  globals_.no_daemon = true;
}

Result<Service*> Context::service() {
  if (remote_) return remote_.get();
  if (local_) return local_.get();
  auto settings = this->settings();
  if (!settings && settings.error().code == ErrorCode::settings_invalid) {
    // A slip in the file is no reason not to say how the backups are: the daemon has settings that it read before.
    const auto found = find_daemon(socket_named_in(globals_.settings_file));
    if (!found || !*found) return pass_on(settings.error());
    output_.note(
        "warning: " + globals_.settings_file.string() +
        " is not right, and the daemon goes on with the settings that it has: \"cairn config check\" says what "
        "is wrong [settings-invalid]");
    return remote_.get();
  }
  if (!settings) return pass_on(settings.error());
  CAIRN_TRY(const bool found, find_daemon((*settings)->socket));
  if (found) return remote_.get();
  EngineOptions options;
  options.role = EngineRole::foreground;
  std::optional<UnlockKey> key;
  if (!globals_.recovery_key.empty()) {
    CAIRN_TRY(key, unlock_key());
    options.key = &*key;
  }
  CAIRN_TRY(engine_, Engine::open(**settings, options));
  warn_of_document(engine_->store());
  local_ = std::make_unique<LocalService>(*engine_);
  return local_.get();
}

}  // namespace cairn::cli
