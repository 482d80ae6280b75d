// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/queue/job_queue.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "daemon/queue/job_queue_state.h"

namespace cairn {
JobQueue::JobQueue(const Clock& clock, Journal* journal, const JobQueueOptions& options)
    : state_(std::make_shared<State>(clock, journal, options)) {}

JobQueue::~JobQueue() {
  stop();
}

Result<JobRecord> JobQueue::submit(JobSpec spec) {
  std::vector<JobSpec> specs;
  specs.push_back(std::move(spec));
  CAIRN_TRY(auto records, submit_all(std::move(specs)));
  return std::move(records.front());
}

Result<std::vector<JobRecord>> JobQueue::submit_all(std::vector<JobSpec> specs) {
  JobList submitted;
  for (JobSpec& spec : specs) submitted.push_back(state_->make(std::move(spec)));
  std::vector<JobRecord> records;
  {
    const auto table = state_->jobs.lock();
    for (const auto& job : submitted) {
      if (auto refused = table->refusal(job->spec())) return pass_on(*std::move(refused));
      records.push_back(table->record_of(*job));
    }
    for (const auto& job : submitted) table->jobs.push_front(job);
  }
  state_->line_up(submitted);
  return records;
}

Result<JobRecord> JobQueue::job(const std::string& id) {
  const auto table = state_->jobs.lock();
  const auto job = table->find(id);
  if (!job) return State::no_such_job(id);
  return table->record_of(*job);
}

std::vector<JobRecord> JobQueue::jobs() {
  const auto table = state_->jobs.lock();
  std::vector<JobRecord> records;
  for (const auto& job : table->jobs) records.push_back(table->record_of(*job));
  return records;
}

JobQueue::Counts JobQueue::counts() {
  const auto table = state_->jobs.lock();
  return {table->waiting.size(), table->running + table->running_beside};
}

Result<JobRecord> JobQueue::wait(const std::string& id, std::uint64_t seen, std::chrono::milliseconds at_most) {
  auto table = state_->jobs.lock();
  const auto job = table->find(id);
  if (!job) return State::no_such_job(id);
  const JobRecord& record = table->record_of(*job);
  state_->changed.wait_for(table.held(), at_most, [&] { return record.revision != seen || table->stopped; });
  return record;
}

Result<JobRecord> JobQueue::cancel(const std::string& id) {
  std::optional<JobRecord> ended;
  std::shared_ptr<QueuedJob> job;
  {
    const auto table = state_->jobs.lock();
    job = table->find(id);
    if (!job) return State::no_such_job(id);
    QueuedJob::Known& known = job->known(*table);
    if (has_ended(known.record.state)) return known.record;
    known.cancel_asked = true;
    if (known.record.state == JobState::queued) {
      std::erase(table->waiting, job);
      ended = state_->end_cancelled(*table, *job);
    }
    state_->note_told_to_stop(*table, *job);
  }
  // Stop callbacks run here, so without our lock.
  job->request_stop();
  if (!ended) return state_->record_now(*job);
  state_->tell_end(*ended);
  return *ended;
}

void JobQueue::set_max_jobs(unsigned max_jobs) {
  {
    const auto table = state_->jobs.lock();
    table->max_jobs = std::max(1U, max_jobs);
    state_->start_threads(*table);
  }
  state_->work.notify_all();
}

void JobQueue::stop() {
  std::vector<std::thread> threads;
  std::vector<JobRecord> ended;
  std::vector<std::shared_ptr<QueuedJob>> running;
  {
    const auto table = state_->jobs.lock();
    table->stopping = true;
    while (!table->waiting.empty()) {
      const auto job = table->waiting.front();
      table->waiting.pop_front();
      ended.push_back(state_->end_cancelled(*table, *job));
    }
    for (const auto& job : table->jobs)
      if (!has_ended(table->record_of(*job).state)) {
        running.push_back(job);
        state_->note_told_to_stop(*table, *job);
      }
  }
  state_->work.notify_all();
  for (const auto& job : running) job->request_stop();
  for (const JobRecord& record : ended) state_->tell_end(record);
  {
    auto table = state_->jobs.lock();
    state_->work.wait(table.held(), [&] { return table->running + table->running_beside == 0; });
    threads = std::exchange(table->threads, {});
    if (table->leaver.joinable()) threads.push_back(std::exchange(table->leaver, {}));
    table->stopped = true;
  }
  state_->leaving.notify_all();
  state_->work.notify_all();
  for (std::thread& thread : threads) thread.join();
  state_->changed.notify_all();
}

}  // namespace cairn
