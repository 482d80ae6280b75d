// SPDX-License-Identifier: GPL-3.0-or-later
// JobQueue: runs jobs on a bounded number of threads, one job a key (a machine's backups) at a time, and lets others
// follow them by revision. Ended jobs are kept here up to a number; the journal has the rest. Any thread.
//
// Lock order: the table of jobs before a job's JobContext. The journal is called without the table's lock.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/base/left_behind.h"
#include "config/base/result.h"
#include "daemon/queue/job_record.h"
#include "daemon/queue/job_spec.h"

namespace cairn {

class Journal;

struct JobQueueOptions {
  unsigned max_jobs = 2;                              // running at once, but for JobSpec::beside
  std::size_t keep_ended = 100;                       // in memory
  std::function<void(const JobRecord&)> on_end = {};  // called after each end, on the thread that ended it
  // A job that was told to stop and has not after that time is left behind (config/base/left_behind.h): it ends as
  // Cancelled, its place is given to others, its key stays taken until it comes back. When it has done its work all the
  // same by then, its record says so.
  std::chrono::milliseconds leave_after = kLeaveAfter;
};

class JobQueue {
 public:
  // `journal` may be null. Both must outlive the queue.
  JobQueue(const Clock& clock, Journal* journal, const JobQueueOptions& options);
  // As stop().
  ~JobQueue();
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  // Errors: job_conflict (its key is taken; `because` names the job), too_many_requests (kMaxWaitingJobs wait),
  // shutting_down.
  Result<JobRecord> submit(JobSpec spec);
  // Errors: job_conflict for any of them, then none is queued; shutting_down.
  Result<std::vector<JobRecord>> submit_all(std::vector<JobSpec> specs);

  // Jobs of this queue only. Errors: no_such_job.
  Result<JobRecord> job(const std::string& id);
  // Newest first.
  std::vector<JobRecord> jobs();
  struct Counts {
    std::size_t queued = 0;
    std::size_t running = 0;
  };
  Counts counts();
  // Waits until the job's revision is not `seen`, `at_most` has passed, or the queue has stopped (with all jobs ended).
  // Errors: no_such_job.
  Result<JobRecord> wait(const std::string& id, std::uint64_t seen, std::chrono::milliseconds at_most);
  // A queued job ends at once, a running one at its next safe point, or when it is left behind; an ended one stays as
  // it is. Errors: no_such_job.
  Result<JobRecord> cancel(const std::string& id);

  // Fewer does not stop jobs that run already.
  void set_max_jobs(unsigned max_jobs);

  // Cancels everything and waits until the running jobs have stopped or were left behind; of the latter the clock, the
  // journal and all that the jobs use must then outlive the process's threads. Safe to call twice.
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;  // threads that were left behind have it, too
};

}  // namespace cairn
