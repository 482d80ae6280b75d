// SPDX-License-Identifier: GPL-3.0-or-later
// LocalService: the service that does the work in this process, on an Engine: requests become jobs of its queue, or are
// answered from its store. The daemon has one; so has a `cairn` command that finds no daemon. Any thread.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "config/base/guarded.h"
#include "daemon/backup/tracking_place.h"
#include "daemon/queue/job_record.h"
#include "daemon/service/point_rows.h"
#include "daemon/service/service.h"
#include "daemon/service/status.h"
#include "daemon/service/verify_status.h"

namespace cairn {

class Engine;
struct JobSpec;
struct MachineSettings;
struct PruneTask;
struct VerifyTask;
struct BackupWishes;

// The objects of verify jobs: all of the store's structure, or some packs only.
inline constexpr const char* kVerifyStore = "store";
inline constexpr const char* kVerifySlice = "store slice";

class LocalService : public Service {
 public:
  // `engine` must outlive the service, and has one service at a time.
  explicit LocalService(Engine& engine);
  // Stops the engine: its jobs work with the service.
  ~LocalService() override;
  LocalService(const LocalService&) = delete;
  LocalService& operator=(const LocalService&) = delete;

  // Called after the points changed (the mount looks again). Set before jobs run.
  void on_points_changed(std::function<void()> call);
  void set_daemon_view(DaemonView view);

  Result<nlohmann::json> points(const std::optional<std::string>& machine, PointsListed listed) override;
  Result<nlohmann::json> point(const std::string& name) override;
  Result<nlohmann::json> status() override;
  Result<nlohmann::json> jobs(std::size_t limit) override;
  Result<nlohmann::json> job(const std::string& id) override;
  Result<nlohmann::json> start_backup(const BackupRequest& request) override;
  Result<nlohmann::json> start_restore(const RestoreRequest& request) override;
  // daemon/service/point_changes.cpp
  Result<nlohmann::json> start_prune(const PruneRequest& request) override;
  Result<nlohmann::json> delete_point(const std::string& name) override;
  Result<nlohmann::json> undelete_point(const std::string& name) override;
  Result<nlohmann::json> protect_point(const ProtectRequest& request) override;
  Result<nlohmann::json> start_verify(const VerifyRequest& request) override;
  Result<nlohmann::json> wait_job(const std::string& id, std::uint64_t seen,
                                  std::chrono::milliseconds at_most) override;
  Result<nlohmann::json> cancel_job(const std::string& id) override;

  // What the scheduler calls: one machine, with the trigger it has. The job's document.
  Result<nlohmann::json> start_machine(const std::string& machine, JobTrigger trigger);
  // What the scrubber calls: verifies a slice, with the structure of the store or without. The job's document.
  Result<nlohmann::json> start_scrub(std::chrono::seconds every, bool structure);

 private:
  // A backup, with the prune of that machine that follows it.
  JobSpec backup_of(const MachineSettings& machine, const BackupWishes& wishes);
  JobSpec prune_after_backup(const std::string& machine, JobTrigger trigger);
  JobSpec prune_spec(const PruneTask& task, JobTrigger trigger);
  JobSpec verify_spec(const VerifyTask& task, const std::string& object, JobTrigger trigger);
  void points_changed();
  // The queue's, or of an earlier time from the journal.
  Result<JobRecord> record_of(const std::string& id);

  Engine& engine_;
  const TrackingPlace tracking_;
  PointRows rows_;
  VerifyStatus verify_status_;
  Guarded<std::function<void()>> on_points_changed_;
  Guarded<DaemonView> daemon_view_;
};

}  // namespace cairn
