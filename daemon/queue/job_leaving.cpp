// SPDX-License-Identifier: GPL-3.0-or-later
// Jobs that were told to stop and do not: they are left behind, each in its thread. config/base/left_behind.h.
#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "config/base/json.h"
#include "daemon/queue/job_queue_state.h"

namespace cairn {

void JobQueue::State::note_told_to_stop(JobTable& table, QueuedJob& job) {
  QueuedJob::Known& known = job.known(table);
  if (table.stopped || known.record.state != JobState::in_progress || known.leave_at) return;
  known.leave_at = std::chrono::steady_clock::now() + leave_after;
  if (!table.leaver.joinable()) table.leaver = std::thread([self = shared_from_this()] { self->leave_late_ones(); });
  leaving.notify_all();
}

void JobQueue::State::leave_late_ones() {
  auto table = jobs.lock();
  while (!table->stopped) {
    std::shared_ptr<QueuedJob> next;
    for (const auto& job : table->jobs) {
      const QueuedJob::Known& known = job->known(*table);
      if (!known.leave_at || known.record.state != JobState::in_progress) continue;
      if (!next || *known.leave_at < *next->known(*table).leave_at) next = job;
    }
    if (!next) {
      leaving.wait(table.held());
      continue;
    }
    const auto at = *next->known(*table).leave_at;
    if (std::chrono::steady_clock::now() < at) {
      leaving.wait_until(table.held(), at);
      continue;
    }
    const JobRecord record = leave(*table, *next);
    table.held().unlock();
    tell_end(record);
    work.notify_all();
    table.held().lock();
    start_threads(*table);
  }
}

JobRecord JobQueue::State::leave(JobTable& table, QueuedJob& job) {
  QueuedJob::Known& known = job.known(table);
  known.left = true;
  note_left_behind();
  --table.running_with(job);
  table.let_go_of(known.thread);
  JobRecord record = end_cancelled(table, job);
  known.record.error->because +=
      fmt::format("; it did not stop within {} ms and was left behind: something that it waits for does not answer",
                  leave_after.count());
  record.error = known.record.error;
  return record;
}

void JobQueue::State::note_return(QueuedJob& job, const Result<nlohmann::json>& result) {
  if (!result) return;
  job.context().warn("it was cancelled and left behind, and did its work all the same");
  const JobRecord record = [&] {
    const auto table = jobs.lock();
    return end_job(*table, job, JobState::completed_with_warnings, std::nullopt, json_text(*result));
  }();
  tell_end(record);
}

}  // namespace cairn
