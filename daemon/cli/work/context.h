// SPDX-License-Identifier: GPL-3.0-or-later
// Context: what a command works with: the settings, the key, the store, and the service (the daemon's, or one in this
// process). Each is made when first asked for. One thread at a time.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "config/base/result.h"
#include "config/settings.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/output.h"

namespace cairn {
class Engine;
class LocalService;
class Service;
class Store;
struct UnlockKey;
}  // namespace cairn

namespace cairn::cli {

class Context {
 public:
  explicit Context(GlobalOptions globals);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  [[nodiscard]] const GlobalOptions& globals() const { return globals_; }
  Output& output() { return output_; }

  // With --store: settings that name that store and nothing else. Errors: those of load_settings, used_wrongly (--store
  // without --recovery-key: there is no other key).
  Result<const Settings*> settings();
  // Where the store is: --store, else that of the settings. Neither key nor settings are needed for a store that is
  // named. Errors: those of load_settings.
  Result<std::filesystem::path> store_directory();
  // The recovery key of --recovery-key, else the settings' key. Errors: those of read_unlock_key, parse_recovery_key.
  Result<UnlockKey> unlock_key();
  // Opens the store in this process. Errors: also those of Store::open.
  Result<std::unique_ptr<Store>> open_store();
  Result<std::unique_ptr<Store>> open_store_with(const UnlockKey& key);
  // The daemon's service when one listens (and neither --no-daemon nor --recovery-key is given), else one in this
  // process. With a settings file that is broken, a daemon that answers is used, and a note says so.
  // Errors: those of connect_to_daemon (but daemon_unreachable) and Engine::open.
  Result<Service*> service();
  // True when service() is the daemon's.
  [[nodiscard]] bool with_daemon() const { return remote_ != nullptr; }
  // From here on service() is one in this process, with the settings as they stand in the file.
  void leave_daemon();

 private:
  // False: none listens, or it is not to be asked.
  Result<bool> find_daemon(const std::filesystem::path& socket);
  void warn_of_document(const Store& store);
  GlobalOptions globals_;
  Output output_;
  std::optional<Settings> settings_;
  std::unique_ptr<Service> remote_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<LocalService> local_;  // on engine_
};

}  // namespace cairn::cli
