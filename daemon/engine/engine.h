// SPDX-License-Identifier: GPL-3.0-or-later
// Engine: what Cairn's work in one process stands on: the settings in force, the open store, the journal and the job
// queue. The daemon has one; so has a `cairn` command that finds no daemon. It knows nothing of what is asked of it:
// that is LocalService's (daemon/service/local_service.h), which is made on top of it. Any thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/settings.h"
#include "fs/store/point/trusted_clock.h"

namespace cairn {

class JobQueue;
class Journal;
class Store;
struct UnlockKey;

// daemon: state_dir is made when missing, and a damaged or unwritable journal is an error.
// foreground: without a writable state_dir, or with a damaged journal, jobs are not journalled, and journal_error()
// says why; a journal that can only be read is read.
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

  Store& store();
  JobQueue& queue();
  Journal* journal();  // null: there is none
  // Why jobs are not journalled, or only some of it can be read: journal_damaged, journal_not_writable.
  [[nodiscard]] const std::optional<Error>& journal_error() const;
  [[nodiscard]] const Clock& clock() const;
  // The clock with what tells whether it can be trusted.
  [[nodiscard]] ClockReading read_clock() const;
  [[nodiscard]] EngineRole role() const;

  // The settings in force; a holder keeps its own however often they are replaced.
  [[nodiscard]] std::shared_ptr<const Settings> settings() const;
  // Machines, policies and daemon limits take effect at once; store, socket, mount and state_dir need a restart.
  void replace_settings(Settings settings);

  // Cancels all jobs, refuses new ones (shutting_down) and waits until the running ones have stopped. Safe to call
  // twice.
  void stop();

 private:
  struct State;
  explicit Engine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn
