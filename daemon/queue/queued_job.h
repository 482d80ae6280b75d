// SPDX-License-Identifier: GPL-3.0-or-later
// QueuedJob: a job in the queue, and what runs it; JobTable: the queue's jobs and what becomes of them, which the queue
// keeps behind its lock. What changes of a job can be reached with the table in hand only. For the queue alone.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "config/base/error.h"
#include "daemon/queue/job.h"
#include "daemon/queue/job_spec.h"

namespace cairn {

class JobTable;
class QueuedJob;
using JobList = std::list<std::shared_ptr<QueuedJob>>;

class QueuedJob {
 public:
  // In no table yet. Its id sorts by time. `on_progress` is called as JobContext's on_change, while the job is there.
  static std::shared_ptr<QueuedJob> make(JobSpec spec, UtcTime now,
                                         std::function<void(const std::shared_ptr<QueuedJob>&)> on_progress);

  // What the job itself is given; never changed. Any thread.
  [[nodiscard]] const JobSpec& spec() const { return spec_; }
  [[nodiscard]] JobContext& context() const { return *context_; }
  // Any thread; stop callbacks run in it, so without the queue's lock.
  void request_stop() { stop_.request_stop(); }
  [[nodiscard]] bool stop_requested() const { return stop_.stop_requested(); }

  // What is known of it.
  struct Known {
    JobRecord record;
    std::chrono::steady_clock::time_point last_progress;
    bool cancel_asked = false;
    std::thread::id thread;                                         // of a running one
    std::optional<std::chrono::steady_clock::time_point> leave_at;  // of one that was told to stop
    bool left = false;                                              // it has ended, but its thread has not come back
  };
  Known& known(const JobTable&) { return known_; }
  // Takes over what the job has reported so far.
  void take_view(const JobTable& table);

 private:
  Known known_;
  JobSpec spec_;
  std::stop_source stop_;
  std::unique_ptr<JobContext> context_;
};

class JobTable {
 public:
  explicit JobTable(unsigned the_max_jobs) : max_jobs(the_max_jobs) {}

  JobRecord& record_of(QueuedJob& job) const { return job.known(*this).record; }
  // Null: there is none.
  [[nodiscard]] std::shared_ptr<QueuedJob> find(const std::string& id) const;
  // The oldest that may run now, or the end of `waiting`.
  [[nodiscard]] std::deque<std::shared_ptr<QueuedJob>>::iterator startable();
  // Why such a job cannot be had now. Nothing: it can.
  [[nodiscard]] std::optional<Error> refusal(const JobSpec& spec) const;
  // How many threads there is work for.
  [[nodiscard]] std::size_t threads_wanted() const;
  // Where a running job is counted.
  unsigned& running_with(const QueuedJob& job) { return job.spec().beside ? running_beside : running; }
  // Its thread is no longer one of ours.
  void let_go_of(std::thread::id id);
  // Drops the oldest ended jobs beyond `keep`.
  void forget_ended(std::size_t keep);

  unsigned max_jobs;
  unsigned running = 0;  // but for those beside
  unsigned running_beside = 0;
  bool stopping = false;
  bool stopped = false;                            // and all jobs have ended
  JobList jobs;                                    // newest first
  std::deque<std::shared_ptr<QueuedJob>> waiting;  // oldest first
  std::vector<std::thread> threads;
  std::thread leaver;  // who leaves behind what does not stop; from the first that is told to stop on
};

}  // namespace cairn
