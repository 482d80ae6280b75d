// SPDX-License-Identifier: GPL-3.0-or-later
// JobQueue::State: the queue's threads and its table of jobs. The door where exceptions out of jobs are caught. For the
// queue alone (job_queue.cpp, job_leaving.cpp). Any thread.
#pragma once

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
#include "config/base/stop_scope.h"
#include "daemon/queue/job_log.h"
#include "daemon/queue/job_queue.h"
#include "daemon/queue/journal.h"
#include "daemon/queue/queued_job.h"

namespace cairn {

struct JobQueue::State : std::enable_shared_from_this<State> {
  // Followers are woken for progress at most this often.
  static constexpr std::chrono::milliseconds kProgressInterval{200};
  static constexpr std::size_t kJournalKeeps = 10'000;

  const Clock& clock;
  Journal* const journal;
  const std::size_t keep_ended;
  const std::chrono::milliseconds leave_after;
  const std::function<void(const JobRecord&)> on_end;

  Guarded<JobTable> jobs;
  std::condition_variable work;     // a job may be started, or stop
  std::condition_variable changed;  // some revision grew
  std::condition_variable leaving;  // a running job was told to stop, or all have stopped

  State(const Clock& the_clock, Journal* the_journal, const JobQueueOptions& options)
      : clock(the_clock),
        journal(the_journal),
        keep_ended(options.keep_ended),
        leave_after(options.leave_after),
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
    return without_exceptions(doing.c_str(), job.spec().object, [&] {
      const StopScope scope(job.context().stop());
      return job.spec().run(job.context());
    });
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

  // Jobs that do not come back: daemon/queue/job_leaving.cpp.
  // A running job was told to stop: whoever does not is left behind in time.
  void note_told_to_stop(JobTable& table, QueuedJob& job);
  void leave_late_ones();
  JobRecord leave(JobTable& table, QueuedJob& job);
  // What a job that was left behind came to. What it has done is done: a point that is in the store is said.
  void note_return(QueuedJob& job, const Result<nlohmann::json>& result);

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
      auto table = jobs.lock();
      if (job->known(*table).left) {
        table.held().unlock();
        return note_return(*job, result);
      }
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
      while (table.threads.size() < table.threads_wanted())
        table.threads.emplace_back([self = shared_from_this()] { self->work_loop(); });
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
    job->known(*table).thread = std::this_thread::get_id();
    bump(record);
    return job;
  }

  void work_loop() {
    while (const auto job = next_to_run()) {
      run_to_its_end(job);
      {
        const auto table = jobs.lock();
        QueuedJob::Known& known = job->known(*table);
        if (known.left) {  // others have this thread's place
          known.left = false;
          note_came_back();
          return;
        }
        --table->running_with(*job);
      }
      work.notify_all();
    }
  }
};

}  // namespace cairn
