// SPDX-License-Identifier: GPL-3.0-or-later
// Journal: what jobs were run and how they ended, and how far each machine's schedule has been followed. SQLite (WAL),
// shared by the daemon and by commands that work in the foreground. A row of `jobs` holds the job's document and who
// runs it (process id and start time), so a job whose process is gone is known from one that is still running.
// Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "daemon/queue/job_record.h"

namespace cairn {

// A process, and not a later one with the same id.
struct ProcessMark {
  std::int64_t pid = 0;
  std::uint64_t start_ticks = 0;  // since boot: /proc/PID/stat, field 22; 0: not known (no /proc)
  bool operator==(const ProcessMark&) const = default;
};
ProcessMark this_process();
bool is_running(const ProcessMark& process);

// How far a machine's schedule has been followed.
struct ScheduleMark {
  UtcTime
      handled;  // runs up to this time are done with: the last one that was started, or when the machine was first seen
  bool missed = false;        // the last run was broken off by the daemon's end and is to be taken again
  std::string schedule = {};  // which schedule was followed, with its time zone; empty: not known (an older journal)
  bool operator==(const ScheduleMark&) const = default;
};

class JobContext;

// What a job that is not journalled has to say at its end: about this job's entry, not about its work. `damage`:
// nothing: the journal is well. That it cannot be written is said by the command, once for all its jobs.
void warn_of_journal(const std::optional<Error>& damage, JobContext& job);

enum class JournalMode { read_write, read_only };

class Journal {
 public:
  // Makes the file when missing (read_write). Its directory must be there.
  // Errors: journal_damaged (not a database, damaged, or written by a newer Cairn), permission_denied, no_space,
  // io_error.
  static Result<std::unique_ptr<Journal>> open(const std::filesystem::path& file,
                                               JournalMode mode = JournalMode::read_write);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Inserts or replaces the job, as run by this process; what has ended stays ended. Durable on return once the job has
  // ended.
  Result<void> save(const JobRecord& record);
  // Newest first.
  Result<std::vector<JobRecord>> jobs(std::size_t limit);
  Result<std::optional<JobRecord>> job(const std::string& id);
  // The newest of this kind and object.
  Result<std::optional<JobRecord>> last_job(JobKind kind, const std::string& object);
  // Marks jobs that have not ended, and whose process `alive` says is gone, as Failed (interrupted); returns them.
  Result<std::vector<JobRecord>> end_interrupted(UtcTime now,
                                                 const std::function<bool(const ProcessMark&)>& alive = is_running);
  // Removes the oldest ended jobs beyond `keep`.
  Result<void> trim(std::size_t keep);

  Result<std::optional<ScheduleMark>> schedule_mark(const std::string& machine);
  Result<void> set_schedule_mark(const std::string& machine, const ScheduleMark& mark);

 private:
  struct State;
  explicit Journal(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn
