// SPDX-License-Identifier: GPL-3.0-or-later
// Service: what commands and the control API can ask for, as JSON documents. Two implementations with the same results:
// LocalService does the work in this process (the daemon, or `cairn` without a daemon), RemoteService asks the daemon
// over its socket. Documents: daemon/API.md. Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "config/base/result.h"
#include "daemon/queue/job_filter.h"
#include "daemon/service/requests.h"

namespace cairn {

enum class PointsListed { present, deleted };

class Service {
 public:
  virtual ~Service() = default;

  // [{"machine","point","time","consistency","proof","disks":[{"name","size"}],"new_bytes",...}], oldest first.
  // Errors: no_such_machine (neither in the settings nor in the store).
  virtual Result<nlohmann::json> points(const std::optional<std::string>& machine, PointsListed listed) = 0;
  // The whole document of one point. Errors: as PointCatalog::find and load.
  virtual Result<nlohmann::json> point(const std::string& name) = 0;
  // Daemon, store, mount, machines with last point, next run and last job.
  virtual Result<nlohmann::json> status() = 0;
  // Jobs that the filter lets through, newest first.
  virtual Result<nlohmann::json> jobs(const JobFilter& filter) = 0;
  // Errors: no_such_job.
  virtual Result<nlohmann::json> job(const std::string& id) = 0;
  // Queues one job a machine; {"jobs":[{job document}]}. Errors: no_such_machine, job_conflict (has a job already).
  virtual Result<nlohmann::json> start_backup(const BackupRequest& request) = 0;
  // Queues one job; its document. Errors that can be seen at once: as PointCatalog::find, no_such_disk, target_missing.
  virtual Result<nlohmann::json> start_restore(const RestoreRequest& request) = 0;
  // Queues one job; its document. Errors: no_such_machine, job_conflict.
  virtual Result<nlohmann::json> start_prune(const PruneRequest& request) = 0;
  // Hides the point, or removes it for good when that is asked for or its policy says soft_delete: off.
  // {"name","machine","point","purged", "deleted","purge_after"}. Errors: as PointCatalog::find, point_immutable,
  // point_protected, point_in_use, clock_jumped, store_rolled_back (for good), store_locked.
  virtual Result<nlohmann::json> delete_point(const DeleteRequest& request) = 0;
  // {"name","machine","point"}. Errors: as Store::find_deleted_point, store_locked.
  virtual Result<nlohmann::json> undelete_point(const std::string& name) = 0;
  // {"name","machine","point","protected":{"since","until"}|null}. Errors: as PointCatalog::find, used_wrongly (`until`
  // is over), store_locked.
  virtual Result<nlohmann::json> protect_point(const ProtectRequest& request) = 0;
  // Queues one job; its document. Errors: used_wrongly, job_conflict (the store is being verified).
  virtual Result<nlohmann::json> start_verify(const VerifyRequest& request) = 0;
  // Waits until the job's document differs from revision `seen` or `at_most` has passed; its document
  // ("revision" is in it; "state" says whether it has ended).
  virtual Result<nlohmann::json> wait_job(const std::string& id, std::uint64_t seen,
                                          std::chrono::milliseconds at_most) = 0;
  // Asks it to stop at the next safe point; its document. Errors: no_such_job.
  virtual Result<nlohmann::json> cancel_job(const std::string& id) = 0;
};

}  // namespace cairn
