// SPDX-License-Identifier: GPL-3.0-or-later
// Engine: everything that does Cairn's work in one process: the settings, the open store, the journal, the job queue
// and the service in front of them. The daemon has one; so has a `cairn` command that finds no daemon. Any thread.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/settings.h"
#include "fs/store/point/trusted_clock.h"

namespace cairn {

class JobQueue;
class Journal;
class LocalService;
class Service;
class Store;
struct TrackingPlace;
struct UnlockKey;

// daemon: state_dir is made when missing, and a damaged or unwritable journal is an error.
// foreground: without a writable state_dir jobs are simply not journalled; a damaged journal is told of by those who
// would have used it.
enum class EngineRole { foreground, daemon };

struct EngineOptions {
  EngineRole role = EngineRole::foreground;
  const Clock* clock = &system_clock();  // must outlive the engine
  const UnlockKey* key = nullptr;        // opens the store instead of the settings' key; borrowed by open() only
  std::function<ClockReading()> read_clock = {};  // empty: read_clock() of `clock`; tests give their own
  int stop_fd = -1;  // open() gives up waiting for a passphrase_command when it becomes readable
};

class Engine {
 public:
  // Unlocks and opens the store that the settings name. start_crypto() must have been called.
  // Errors: those of read_unlock_key (cancelled: stop_fd) and Store::open; daemon: journal_damaged, io_error,
  // permission_denied.
  static Result<std::unique_ptr<Engine>> open(Settings settings, const EngineOptions& options = {});
  // Cancels all jobs and waits until they have stopped.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  Service& service();
  LocalService& local_service();
  Store& store();
  JobQueue& queue();
  // Where records of kept clones are. Change tracking: fs/image/TRACKING.md.
  [[nodiscard]] const TrackingPlace& tracking() const;
  Journal* journal();  // null: jobs are not journalled
  // Why there is no journal, when it is one that is damaged.
  [[nodiscard]] const std::optional<Error>& journal_error() const;
  [[nodiscard]] const Clock& clock() const;
  // The clock with what tells whether it can be trusted.
  [[nodiscard]] ClockReading read_clock() const;
  [[nodiscard]] EngineRole role() const;

  // The settings in force; a holder keeps its own however often they are replaced.
  [[nodiscard]] std::shared_ptr<const Settings> settings() const;
  // Machines, policies and daemon limits take effect at once; store, socket, mount and state_dir need a restart.
  void replace_settings(Settings settings);

  // Called after a point was committed (the mount looks again). Set before jobs run.
  void on_points_changed(std::function<void()> call);
  void points_changed();
  // What only the daemon knows, as members of the status document: "daemon", "mount", and by machine next runs and
  // keys.
  struct DaemonView {
    std::function<nlohmann::json()> daemon;
    std::function<nlohmann::json()> mount;
    std::function<std::optional<UtcTime>(const std::string& machine)> next_run;
    std::function<nlohmann::json(const std::string& machine)> keys;
  };
  void set_daemon_view(DaemonView view);
  [[nodiscard]] DaemonView daemon_view() const;

  // Cancels all jobs, refuses new ones (shutting_down) and waits until the running ones have stopped. Safe to call
  // twice.
  void stop();

 private:
  struct State;
  explicit Engine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn
