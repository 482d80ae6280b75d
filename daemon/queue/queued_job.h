// SPDX-License-Identifier: GPL-3.0-or-later
// QueuedJob: a job in the queue's table: its record, and what runs it. For the queue alone.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <stop_token>

#include "daemon/queue/job.h"
#include "daemon/queue/job_queue.h"

namespace cairn {

struct QueuedJob {
  JobRecord record;  // with the queue's mutex held, as all that is not constant
  JobSpec spec;      // constant
  std::stop_source stop;
  std::unique_ptr<JobContext> context;  // constant
  std::chrono::steady_clock::time_point last_progress;
  bool cancel_asked = false;

  // With the queue's mutex held: takes over what the job has reported so far.
  void take_view();
};

using JobList = std::list<std::shared_ptr<QueuedJob>>;

// In no table yet. Its id sorts by time. `on_progress` is called as JobContext's on_change, while the job is there.
std::shared_ptr<QueuedJob> make_job(JobSpec spec, UtcTime now,
                                    std::function<void(const std::shared_ptr<QueuedJob>&)> on_progress);

}  // namespace cairn
