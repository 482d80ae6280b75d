// SPDX-License-Identifier: GPL-3.0-or-later
// LocalService: the service that does the work in this process, on an Engine. Any thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "daemon/queue/job_record.h"
#include "daemon/service/service.h"
#include "daemon/service/verify_status.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class Engine;

// The objects of verify jobs: all of the store's structure, or some packs only.
inline constexpr const char* kVerifyStore = "store";
inline constexpr const char* kVerifySlice = "store slice";

class LocalService : public Service {
 public:
  // `engine` must outlive the service.
  explicit LocalService(Engine& engine);
  ~LocalService() override;

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
  // What follows each backup: a prune of that machine, as a job of its own. Its id; empty: none could be started.
  std::string start_prune_after_backup(const std::string& machine, JobTrigger trigger);
  // What the scrubber calls: verifies a slice, with the structure of the store or without. The job's document.
  Result<nlohmann::json> start_scrub(std::chrono::seconds every, bool structure);

 private:
  // The row of points() for one point; points never change, so rows are kept.
  nlohmann::json row_of(const PointName& name);
  // What can change about a point: protection, how long it is immutable, deletion.
  nlohmann::json marks_of(const PointName& name, const nlohmann::json& row, bool has_protection, PointsListed listed);
  // Gives the points' rows one by one, newest first.
  std::function<std::optional<nlohmann::json>()> newest_rows(std::vector<PointName> points);
  // The machine's newest backup job, or null.
  nlohmann::json last_job_of(const std::string& machine);

  Engine& engine_;
  std::mutex mutex_;
  std::map<PointName, std::unique_ptr<const nlohmann::json>> rows_;  // guarded by mutex_
  VerifyStatus verify_status_;
};

}  // namespace cairn
