// LocalService: the service that does the work in this process, on an Engine. Any thread.
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "daemon/job_record.h"
#include "daemon/service.h"
#include "fs/store/recovery_point.h"

namespace cairn {

class Engine;

class LocalService : public Service {
 public:
  // `engine` must outlive the service.
  explicit LocalService(Engine& engine);
  ~LocalService() override;

  Result<nlohmann::json> points(const std::optional<std::string>& machine) override;
  Result<nlohmann::json> point(const std::string& name) override;
  Result<nlohmann::json> status() override;
  Result<nlohmann::json> jobs(std::size_t limit) override;
  Result<nlohmann::json> job(const std::string& id) override;
  Result<nlohmann::json> start_backup(const BackupRequest& request) override;
  Result<nlohmann::json> start_restore(const RestoreRequest& request) override;
  Result<nlohmann::json> wait_job(const std::string& id, std::uint64_t seen,
                                  std::chrono::milliseconds at_most) override;
  Result<nlohmann::json> cancel_job(const std::string& id) override;

  // What the scheduler calls: one machine, with the trigger it has. The job's document.
  Result<nlohmann::json> start_machine(const std::string& machine, JobTrigger trigger);

 private:
  // The row of points() for one point; points never change, so rows are kept.
  nlohmann::json row_of(const PointName& name);
  // Gives the points' rows one by one, newest first.
  std::function<std::optional<nlohmann::json>()> newest_rows(std::vector<PointName> points);
  // The machine's newest backup job, or null.
  nlohmann::json last_job_of(const std::string& machine);

  Engine& engine_;
  std::mutex mutex_;
  std::map<PointName, std::unique_ptr<const nlohmann::json>> rows_;  // guarded by mutex_
};

}  // namespace cairn
