// SPDX-License-Identifier: GPL-3.0-or-later
// The job queue's threads and its table of jobs. The door where exceptions out of jobs are caught.
#include "daemon/queue/job_queue.h"

#include <fmt/core.h>

#include <algorithm>
#include <condition_variable>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>
#include <utility>

#include "config/base/exception_door.h"
#include "config/base/guarded.h"
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

  Guarded<JobTable> jobs;
  std::condition_variable work;     // a job may be started, or stop
  std::condition_variable changed;  // some revision grew

  State(const Clock& the_clock, Journal* the_journal, const JobQueueOptions& options)
      : clock(the_clock),
        journal(the_journal),
        keep_ended(options.keep_ended),
        on_end(options.on_end),
        jobs(JobTable(std::max(1U, options.max_jobs))) {}

  static std::unexpected<Error> no_such_job(const std::string& id) {
    return fail(ErrorCode::no_such_job, "find job", id, "there is no such job");
  }

  // A failing journal must not fail a backup: it is reported, and the job goes on.
  void write_down(const JobRecord& record) const {
    if (journal == nullptr) return;
    if (auto saved = journal->save(record); !saved) log_error("journal-failed", record.id, saved.error());
  }

  void bump(JobRecord& record) {
    ++record.revision;
    changed.notify_all();
  }

  void on_progress(const std::shared_ptr<QueuedJob>& job) {
    const auto table = jobs.lock();
    QueuedJob::Known& known = job->known(*table);
    if (known.record.state != JobState::in_progress) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - known.last_progress < kProgressInterval) return;
    known.last_progress = now;
    job->take_view(*table);
    bump(known.record);
  }

  // Gives the record to write down.
  JobRecord end_job(JobTable& table, QueuedJob& job, JobState state, std::optional<Error> error, std::string result) {
    job.take_view(table);
    JobRecord& record = table.record_of(job);
    record.state = state;
    record.ended = clock.now();
    record.error = std::move(error);
    record.result = std::move(result);
    if (state == JobState::completed || state == JobState::completed_with_warnings)
      record.done_bytes = record.total_bytes;
    bump(record);
    JobRecord ended = record;
    table.forget_ended(keep_ended);
    return ended;
  }

  JobRecord end_cancelled(JobTable& table, QueuedJob& job) {
    const bool of_all = table.stopping && !job.known(table).cancel_asked;
    Error error{of_all ? ErrorCode::shutting_down : ErrorCode::cancelled,
                fmt::format("finish {}", to_string(job.spec().kind)),
                job.spec().object,
                of_all ? "the process was asked to stop" : "it was cancelled",
                0,
                {}};
    return end_job(table, job, JobState::cancelled, std::move(error), {});
  }

  static Result<nlohmann::json> run_guarded(const QueuedJob& job) {
    const std::string doing = fmt::format("run {}", to_string(job.spec().kind));
    return without_exceptions(doing.c_str(), job.spec().object, [&] { return job.spec().run(job.context()); });
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
    const auto table = jobs.lock();
    JobRecord& record = table->record_of(job);
    if (has_ended(record.state)) return;
    try {
      Error error{
          ErrorCode::internal, fmt::format("run {}", to_string(job.spec().kind)), job.spec().object, because, 0, {}};
      log_error("job-failed", record.id, error);
      (void)end_job(*table, job, JobState::failed, std::move(error), {});
    } catch (...) {
      // No memory even for that: the end alone must do.
      record.state = JobState::failed;
      record.ended = clock.now();
      bump(record);
    }
  }

  // As it is now.
  JobRecord record_now(QueuedJob& job) {
    const auto table = jobs.lock();
    return table->record_of(job);
  }

  void run(const std::shared_ptr<QueuedJob>& job) {
    JobRecord record = record_now(*job);
    write_down(record);
    log_job_started(record);

    auto result = run_guarded(*job);
    std::optional<JobSpec> wanted;
    if (result) wanted = what_follows(*job, *result);
    JobList next;
    if (wanted) next.push_back(make(*std::move(wanted)));
    JobList submitted;
    {
      const auto table = jobs.lock();
      const bool refused = next.empty() || table->refusal(next.front()->spec());
      if (!next.empty()) {
        const JobRecord& of_next = table->record_of(*next.front());
        (*result)[to_string(of_next.kind)] = refused ? nullptr : nlohmann::json(of_next.id);
      }
      if (!result) {
        const bool cancelled = result.error().code == ErrorCode::cancelled && job->stop_requested();
        record = cancelled ? end_cancelled(*table, *job)
                           : end_job(*table, *job, JobState::failed, result.error(), job->context().kept_result());
      } else {
        const bool clean = job->context().view().warnings.empty();
        record = end_job(*table, *job, clean ? JobState::completed : JobState::completed_with_warnings, std::nullopt,
                         json_text(*result));
      }
      // Last, as it cannot fail: a job in the table that is never lined up would never end.
      if (!refused) {
        submitted = next;
        table->jobs.splice(table->jobs.begin(), next);
      }
    }
    tell_end(record);
    line_up(submitted);
  }

  static std::optional<JobSpec> what_follows(QueuedJob& job, const nlohmann::json& result) {
    if (!job.spec().then) return std::nullopt;
    try {
      return job.spec().then(result);
    } catch (const std::exception& problem) {
      job.context().warn(fmt::format("what follows it was not started: {}", problem.what()));
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
    return QueuedJob::make(std::move(spec), clock.now(), [this](const auto& job) { on_progress(job); });
  }

  // Jobs that are in the table. Written down before they can run, so that the journal's last word is never an older
  // one.
  void line_up(const JobList& submitted) {
    if (submitted.empty()) return;
    for (const auto& job : submitted) {
      const JobRecord record = record_now(*job);
      if (!has_ended(record.state)) write_down(record);
    }
    std::vector<JobRecord> ended;
    {
      const auto table = jobs.lock();
      for (const auto& job : submitted) {
        if (has_ended(table->record_of(*job).state)) continue;  // cancelled meanwhile
        if (table->stopping)
          ended.push_back(end_cancelled(*table, *job));
        else
          table->waiting.push_back(job);
      }
      start_threads(*table);
    }
    for (const JobRecord& record : ended) tell_end(record);
    work.notify_all();
  }

  // Threads come when there is work for them and stay until stop().
  void start_threads(JobTable& table) {
    if (table.stopping) return;
    try {
      while (table.threads.size() < table.threads_wanted()) table.threads.emplace_back([this] { work_loop(); });
    } catch (const std::system_error& problem) {
      // Fewer threads, or the next submit tries again; a job that waits is no reason to end the others.
      log_event(LogLevel::error, "thread-not-started", "job queue", {{"because", problem.what()}});
    }
  }

  // Waits for a job that may run. Null: the queue stops.
  std::shared_ptr<QueuedJob> next_to_run() {
    auto table = jobs.lock();
    work.wait(table.held(), [&] { return table->stopping || table->startable() != table->waiting.end(); });
    if (table->stopping) return nullptr;
    const auto next = table->startable();
    std::shared_ptr<QueuedJob> job = *next;
    table->waiting.erase(next);
    ++table->running_with(*job);
    JobRecord& record = table->record_of(*job);
    record.state = JobState::in_progress;
    record.started = clock.now();
    bump(record);
    return job;
  }

  void work_loop() {
    while (const auto job = next_to_run()) {
      run_to_its_end(job);
      --jobs.lock()->running_with(*job);
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
    threads = std::exchange(table->threads, {});
    while (!table->waiting.empty()) {
      const auto job = table->waiting.front();
      table->waiting.pop_front();
      ended.push_back(state_->end_cancelled(*table, *job));
    }
    for (const auto& job : table->jobs)
      if (!has_ended(table->record_of(*job).state)) running.push_back(job);
  }
  state_->work.notify_all();
  for (const auto& job : running) job->request_stop();
  for (const JobRecord& record : ended) state_->tell_end(record);
  for (std::thread& thread : threads) thread.join();
  state_->jobs.lock()->stopped = true;
  state_->changed.notify_all();
}

}  // namespace cairn
