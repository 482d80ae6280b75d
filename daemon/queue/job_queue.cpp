// SPDX-License-Identifier: GPL-3.0-or-later
// The job queue's threads and its table of jobs. The door where exceptions out of jobs are caught.
#include "daemon/queue/job_queue.h"

#include <fmt/core.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <new>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>
#include <utility>

#include "config/base/bytes.h"
#include "config/base/exception_door.h"
#include "config/base/json.h"
#include "config/base/log.h"
#include "daemon/queue/job_log.h"
#include "daemon/queue/journal.h"
#include "daemon/queue/queued_job.h"

namespace cairn {
namespace {

// Followers are woken for progress at most this often.
constexpr std::chrono::milliseconds kProgressInterval{200};
constexpr std::size_t kJournalKeeps = 10'000;

}  // namespace

struct JobQueue::State {
  const Clock& clock;
  Journal* const journal;
  const std::size_t keep_ended;
  const std::function<void(const JobRecord&)> on_end;

  std::mutex mutex;
  std::condition_variable work;     // a job may be started, or stop
  std::condition_variable changed;  // some revision grew
  unsigned max_jobs;                // guarded by mutex, as all below
  unsigned running = 0;             // but for those beside
  unsigned running_beside = 0;
  bool stopping = false;
  bool stopped = false;                            // and all jobs have ended
  JobList jobs;                                    // newest first
  std::deque<std::shared_ptr<QueuedJob>> waiting;  // oldest first
  std::vector<std::thread> threads;

  State(const Clock& the_clock, Journal* the_journal, const JobQueueOptions& options)
      : clock(the_clock),
        journal(the_journal),
        keep_ended(options.keep_ended),
        on_end(options.on_end),
        max_jobs(std::max(1U, options.max_jobs)) {}

  std::shared_ptr<QueuedJob> find(const std::string& id) {
    for (const auto& job : jobs)
      if (job->record.id == id) return job;
    return nullptr;
  }

  static std::unexpected<Error> no_such_job(const std::string& id) {
    return fail(ErrorCode::no_such_job, "find job", id, "there is no such job");
  }

  // A failing journal must not fail a backup: it is reported, and the job goes on.
  void write_down(const JobRecord& record) const {
    if (journal == nullptr) return;
    if (auto saved = journal->save(record); !saved) log_error("journal-failed", record.id, saved.error());
  }

  void bump(QueuedJob& job) {
    ++job.record.revision;
    changed.notify_all();
  }

  void on_progress(const std::shared_ptr<QueuedJob>& job) {
    const std::lock_guard lock(mutex);
    if (job->record.state != JobState::in_progress) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - job->last_progress < kProgressInterval) return;
    job->last_progress = now;
    job->take_view();
    bump(*job);
  }

  void forget_old() {
    std::size_t ended = 0;
    for (auto at = jobs.begin(); at != jobs.end();) {
      const bool drop = has_ended((*at)->record.state) && ++ended > keep_ended;
      at = drop ? jobs.erase(at) : std::next(at);
    }
  }

  // With mutex held. Gives the record to write down.
  JobRecord end_job(QueuedJob& job, JobState state, std::optional<Error> error, std::string result) {
    job.take_view();
    job.record.state = state;
    job.record.ended = clock.now();
    job.record.error = std::move(error);
    job.record.result = std::move(result);
    if (state == JobState::completed || state == JobState::completed_with_warnings)
      job.record.done_bytes = job.record.total_bytes;
    bump(job);
    const JobRecord record = job.record;
    forget_old();
    return record;
  }

  Error cancelled_error(const QueuedJob& job) const {
    return Error{stopping && !job.cancel_asked ? ErrorCode::shutting_down : ErrorCode::cancelled,
                 fmt::format("finish {}", to_string(job.record.kind)),
                 job.record.object,
                 stopping && !job.cancel_asked ? "the process was asked to stop" : "it was cancelled",
                 0,
                 {}};
  }

  Result<nlohmann::json> run_guarded(QueuedJob& job) {
    const std::string doing = fmt::format("run {}", to_string(job.spec.kind));
    return without_exceptions(doing.c_str(), job.spec.object, [&] { return job.spec.run(*job.context); });
  }

  // A door: what goes before and after a job (log, journal) may throw too; that must not end the process, nor leave a
  // job that never ends.
  void run_to_its_end(const std::shared_ptr<QueuedJob>& job) {
    try {
      return run(job);
    } catch (const std::exception& problem) {
      end_badly(*job, problem.what());
    } catch (...) {
      end_badly(*job, "an unknown exception");
    }
  }

  void end_badly(QueuedJob& job, const char* because) noexcept {
    const std::lock_guard lock(mutex);
    if (has_ended(job.record.state)) return;
    try {
      Error error{
          ErrorCode::internal, fmt::format("run {}", to_string(job.spec.kind)), job.spec.object, because, 0, {}};
      log_error("job-failed", job.record.id, error);
      (void)end_job(job, JobState::failed, std::move(error), {});
    } catch (...) {
      // No memory even for that: the end alone must do.
      job.record.state = JobState::failed;
      job.record.ended = clock.now();
      bump(job);
    }
  }

  void run(const std::shared_ptr<QueuedJob>& job) {
    JobRecord record;
    {
      const std::lock_guard lock(mutex);
      record = job->record;
    }
    write_down(record);
    log_job_started(record);

    auto result = run_guarded(*job);
    std::optional<JobSpec> wanted;
    if (result) wanted = what_follows(*job, *result);
    JobList next;
    if (wanted) next.push_back(make(*std::move(wanted)));
    JobList submitted;
    {
      const std::lock_guard lock(mutex);
      const bool refused = next.empty() || refusal(next.front()->spec);
      if (!next.empty())
        (*result)[to_string(next.front()->record.kind)] = refused ? nullptr : nlohmann::json(next.front()->record.id);
      if (!result) {
        const bool cancelled = result.error().code == ErrorCode::cancelled && job->stop.stop_requested();
        record = cancelled ? end_job(*job, JobState::cancelled, cancelled_error(*job), {})
                           : end_job(*job, JobState::failed, result.error(), job->context->kept_result());
      } else {
        const bool clean = job->context->view().warnings.empty();
        record = end_job(*job, clean ? JobState::completed : JobState::completed_with_warnings, std::nullopt,
                         json_text(*result));
      }
      // Last, as it cannot fail: a job in the table that is never lined up would never end.
      if (!refused) {
        submitted = next;
        jobs.splice(jobs.begin(), next);
      }
    }
    tell_end(record);
    line_up(submitted);
  }

  std::optional<JobSpec> what_follows(QueuedJob& job, const nlohmann::json& result) {
    if (!job.spec.then) return std::nullopt;
    try {
      return job.spec.then(result);
    } catch (const std::exception& problem) {
      job.context->warn(fmt::format("what follows it was not started: {}", problem.what()));
    }
    return std::nullopt;
  }

  // The job has ended whatever happens here.
  void tell_end(const JobRecord& record) const noexcept {
    try {
      tell_end_to_all(record);
    } catch (const std::exception& problem) {
      log_event(LogLevel::error, "job-not-reported", record.id, {{"because", problem.what()}});
    }
  }

  void tell_end_to_all(const JobRecord& record) const {
    write_down(record);
    if (on_end) on_end(record);
    log_job_ended(record);
    if (journal != nullptr) (void)journal->trim(kJournalKeeps);
  }

  std::shared_ptr<QueuedJob> make(JobSpec spec) {
    return make_job(std::move(spec), clock.now(), [this](const auto& job) { on_progress(job); });
  }

  // With mutex held. Why such a job cannot be had now.
  std::optional<Error> refusal(const JobSpec& spec) const {
    if (stopping)
      return Error{ErrorCode::shutting_down, "start job", spec.object, "this process is being stopped", 0, {}};
    if (spec.exclusive.empty()) return std::nullopt;
    for (const auto& job : jobs)
      if (job->spec.exclusive == spec.exclusive && !has_ended(job->record.state))
        return Error{ErrorCode::job_conflict,
                     fmt::format("start {} of", to_string(spec.kind)),
                     spec.object,
                     fmt::format("job {} is {}", job->record.id,
                                 job->record.state == JobState::queued ? "waiting to run" : "running"),
                     0,
                     {}};
    return std::nullopt;
  }

  // Jobs that are in the table. Written down before they can run, so that the journal's last word is never an older
  // one.
  void line_up(const JobList& submitted) {
    if (submitted.empty()) return;
    for (const auto& job : submitted) {
      std::unique_lock lock(mutex);
      const JobRecord record = job->record;
      lock.unlock();
      if (!has_ended(record.state)) write_down(record);
    }
    std::vector<JobRecord> ended;
    {
      const std::lock_guard lock(mutex);
      for (const auto& job : submitted) {
        if (has_ended(job->record.state)) continue;  // cancelled meanwhile
        if (stopping)
          ended.push_back(end_job(*job, JobState::cancelled, cancelled_error(*job), {}));
        else
          waiting.push_back(job);
      }
      start_threads();
    }
    for (const JobRecord& record : ended) tell_end(record);
    work.notify_all();
  }

  static constexpr unsigned kMaxBeside = 1;

  // With mutex held. The oldest that may run now, or the end.
  auto startable() {
    return std::ranges::find_if(waiting, [&](const std::shared_ptr<QueuedJob>& job) {
      return job->spec.beside ? running_beside < kMaxBeside : running < max_jobs;
    });
  }

  // With mutex held. Threads come when there is work for them and stay until stop().
  void start_threads() {
    if (stopping) return;
    try {
      while (threads.size() < std::min<std::size_t>(max_jobs + kMaxBeside, running + running_beside + waiting.size()))
        threads.emplace_back([this] { work_loop(); });
    } catch (const std::system_error& problem) {
      // Fewer threads, or the next submit tries again; a job that waits is no reason to end the others.
      log_event(LogLevel::error, "thread-not-started", "job queue", {{"because", problem.what()}});
    }
  }

  void work_loop() {
    for (;;) {
      std::shared_ptr<QueuedJob> job;
      {
        std::unique_lock lock(mutex);
        work.wait(lock, [&] { return stopping || startable() != waiting.end(); });
        if (stopping) return;
        const auto next = startable();
        job = *next;
        waiting.erase(next);
        ++(job->spec.beside ? running_beside : running);
        job->record.state = JobState::in_progress;
        job->record.started = clock.now();
        bump(*job);
      }
      run_to_its_end(job);
      {
        const std::lock_guard lock(mutex);
        --(job->spec.beside ? running_beside : running);
      }
      work.notify_all();
    }
  }
};

JobQueue::JobQueue(const Clock& clock, Journal* journal, const JobQueueOptions& options)
    : state_(std::make_unique<State>(clock, journal, options)) {}

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
  for (const auto& job : submitted) records.push_back(job->record);
  {
    const std::lock_guard lock(state_->mutex);
    for (const auto& job : submitted)
      if (auto refused = state_->refusal(job->spec)) return pass_on(*std::move(refused));
    for (const auto& job : submitted) state_->jobs.push_front(job);
  }
  state_->line_up(submitted);
  return records;
}

Result<JobRecord> JobQueue::job(const std::string& id) {
  const std::lock_guard lock(state_->mutex);
  const auto job = state_->find(id);
  if (!job) return State::no_such_job(id);
  return job->record;
}

std::vector<JobRecord> JobQueue::jobs() {
  const std::lock_guard lock(state_->mutex);
  std::vector<JobRecord> records;
  for (const auto& job : state_->jobs) records.push_back(job->record);
  return records;
}

JobQueue::Counts JobQueue::counts() {
  const std::lock_guard lock(state_->mutex);
  return {state_->waiting.size(), state_->running + state_->running_beside};
}

Result<JobRecord> JobQueue::wait(const std::string& id, std::uint64_t seen, std::chrono::milliseconds at_most) {
  std::unique_lock lock(state_->mutex);
  const auto job = state_->find(id);
  if (!job) return State::no_such_job(id);
  state_->changed.wait_for(lock, at_most, [&] { return job->record.revision != seen || state_->stopped; });
  return job->record;
}

Result<JobRecord> JobQueue::cancel(const std::string& id) {
  std::optional<JobRecord> ended;
  std::shared_ptr<QueuedJob> job;
  {
    const std::lock_guard lock(state_->mutex);
    job = state_->find(id);
    if (!job) return State::no_such_job(id);
    if (has_ended(job->record.state)) return job->record;
    job->cancel_asked = true;
    if (job->record.state == JobState::queued) {
      std::erase(state_->waiting, job);
      ended = state_->end_job(*job, JobState::cancelled, state_->cancelled_error(*job), {});
    }
  }
  // Stop callbacks run here, so without our lock.
  job->stop.request_stop();
  if (ended) {
    state_->tell_end(*ended);
    return *ended;
  }
  const std::lock_guard lock(state_->mutex);
  return job->record;
}

void JobQueue::set_max_jobs(unsigned max_jobs) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->max_jobs = std::max(1U, max_jobs);
    state_->start_threads();
  }
  state_->work.notify_all();
}

void JobQueue::stop() {
  std::vector<std::thread> threads;
  std::vector<JobRecord> ended;
  std::vector<std::shared_ptr<QueuedJob>> running;
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    threads = std::exchange(state_->threads, {});
    while (!state_->waiting.empty()) {
      const auto job = state_->waiting.front();
      state_->waiting.pop_front();
      ended.push_back(state_->end_job(*job, JobState::cancelled, state_->cancelled_error(*job), {}));
    }
    for (const auto& job : state_->jobs)
      if (!has_ended(job->record.state)) running.push_back(job);
  }
  state_->work.notify_all();
  for (const auto& job : running) job->stop.request_stop();
  for (const JobRecord& record : ended) state_->tell_end(record);
  for (std::thread& thread : threads) thread.join();
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopped = true;
  }
  state_->changed.notify_all();
}

}  // namespace cairn
