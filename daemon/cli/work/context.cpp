// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/work/context.h"

#include "crypto/unlock_key.h"
#include "daemon/api/remote_service.h"
#include "daemon/cli/text/prompt.h"
#include "daemon/engine/engine.h"
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
    return read_unlock_key(settings->store.key);
  }
  const bool from_input = globals_.recovery_key == "-";
  const std::string object = from_input ? "standard input" : globals_.recovery_key;
  UnlockKey key;
  key.type = KeySlotType::recovery;
  key.source = object;
  CAIRN_TRY(const SecretBytes text, from_input ? read_secret_from_input("Recovery key: ") : read_key_file(object));
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
  store->unlisted().keep_in(settings->state_dir);
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

Result<Service*> Context::service() {
  if (remote_) return remote_.get();
  if (local_) return local_.get();
  CAIRN_TRY(const Settings* const settings, this->settings());
  if (!globals_.no_daemon && globals_.recovery_key.empty()) {
    auto remote = connect_to_daemon(settings->socket);
    if (remote) {
      remote_ = *std::move(remote);
      return remote_.get();
    }
    if (remote.error().code != ErrorCode::daemon_unreachable) return pass_on(std::move(remote).error());
  }
  EngineOptions options;
  options.role = EngineRole::foreground;
  std::optional<UnlockKey> key;
  if (!globals_.recovery_key.empty()) {
    CAIRN_TRY(key, unlock_key());
    options.key = &*key;
  }
  CAIRN_TRY(engine_, Engine::open(*settings, options));
  warn_of_document(engine_->store());
  local_ = std::make_unique<LocalService>(*engine_);
  return local_.get();
}

}  // namespace cairn::cli
