// SPDX-License-Identifier: GPL-3.0-or-later
// JobSpec: what the queue is given to run, and by which rules. A value; any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "config/base/result.h"
#include "daemon/queue/job_record.h"

namespace cairn {

class JobContext;

// Of jobs without a key (restores, previews of prunes). The others are bounded by their keys.
inline constexpr std::size_t kMaxWaitingJobs = 100;

struct JobSpec {
  JobKind kind = JobKind::backup;
  std::string object;  // backup: the machine; restore: the point's name
  JobTrigger trigger = JobTrigger::on_demand;
  std::string exclusive;  // no two jobs with the same key wait or run at once; empty: no such rule
  // Takes no place among max_jobs, so that what may run for hours at a low rate holds up no backup. One such job runs
  // at once.
  bool beside = false;
  std::function<Result<nlohmann::json>(JobContext&)> run;  // the job's result; exceptions are caught
  // What follows a job that was not failed or cancelled: given its result, the job to submit; nothing: none. It is
  // submitted in the step that ends this one: who sees the end finds the next one's id in the result, under the name of
  // its kind ("prune"), or null there when it was refused (its key is taken, or all ends). An exception of `then` is a
  // warning of this job.
  std::function<std::optional<JobSpec>(const nlohmann::json& result)> then = {};
};

}  // namespace cairn
