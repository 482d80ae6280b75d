// SPDX-License-Identifier: GPL-3.0-or-later
// A machine's backup as a job of the queue: run_backup with what the settings say, and what is noted after it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "config/base/clock.h"
#include "config/base/error.h"
#include "config/settings.h"
#include "daemon/backup/tracking_place.h"
#include "daemon/queue/job_queue.h"
#include "daemon/queue/lock_wait.h"

namespace cairn {

class Store;

enum class Reading { as_policy_says, full };

struct BackupWishes {
  JobTrigger trigger = JobTrigger::on_demand;
  Reading reading = Reading::as_policy_says;
  std::chrono::seconds wait = kUsualWait;  // for another process that writes to the store
};

struct BackupSurroundings {
  Store& store;  // must outlive the job, as `clock`
  const Clock& clock;
  std::shared_ptr<const Settings> settings;  // in force when the backup was asked for; they hold for all of it
  TrackingPlace tracking;
  std::optional<Error> journal_error;  // a job that is not in the journal says so in a warning
  std::function<void()> committed;     // called once the point is in the store
};

// Its key: one backup of a machine at a time. `then` is left to the caller.
JobSpec backup_spec(const MachineSettings& machine, const BackupWishes& wishes, BackupSurroundings around);

}  // namespace cairn
