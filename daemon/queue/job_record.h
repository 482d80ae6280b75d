// SPDX-License-Identifier: GPL-3.0-or-later
// JobRecord: one job as the queue, the journal and the control API know it. A job is a backup, a restore, a prune or a
// verify; it is queued, runs, and ends in one of four states. Its document is what `cairn jobs --json` and GET /v1/jobs
// give: daemon/API.md "Job". Values; any thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/clock.h"
#include "config/base/error.h"
#include "config/base/result.h"

namespace cairn {

enum class JobKind { backup, restore, prune, verify };
enum class JobState { queued, in_progress, completed, completed_with_warnings, failed, cancelled };
// catch_up: a scheduled run that was missed or broken off, taken later.
enum class JobTrigger { on_demand, schedule, catch_up };

std::string_view to_string(JobKind kind);        // "backup", "restore"
std::string_view to_string(JobState state);      // "Queued", "InProgress", "Completed", "CompletedWithWarnings", ...
std::string_view to_string(JobTrigger trigger);  // "on-demand", "schedule", "catch-up"
std::optional<JobState> parse_job_state(std::string_view text);
inline bool has_ended(JobState state) {
  return state != JobState::queued && state != JobState::in_progress;
}

struct JobRecord {
  std::string id;  // "20261121T020000Z-3f9a1c"
  JobKind kind = JobKind::backup;
  std::string object;  // backup: the machine; restore: machine@stamp
  JobState state = JobState::queued;
  JobTrigger trigger = JobTrigger::on_demand;
  UtcTime queued;
  std::optional<UtcTime> started;
  std::optional<UtcTime> ended;
  std::string point;                  // machine@stamp; empty: none yet
  std::string waiting_for;            // what it waits for while it runs; empty: it does not
  std::uint64_t revision = 1;         // grows with every change: who waits for one compares it
  std::uint64_t done_bytes = 0;       // progress
  std::uint64_t total_bytes = 0;      // 0: not known yet
  std::string result;                 // JSON text; empty: none
  std::vector<std::string> warnings;  // a sentence each, with the error's name at its end where it has one
  std::optional<Error> error;         // why it failed
};

nlohmann::json to_json(const JobRecord& record);
// Errors: journal_damaged.
Result<JobRecord> job_from_json(const nlohmann::json& document);

nlohmann::json time_or_null(const std::optional<UtcTime>& time);

// {"name","message","resolution","doing","object","because","errno"}; error_from_json gives the same Error back.
nlohmann::json to_json(const Error& error);
Error error_from_json(const nlohmann::json& document);

}  // namespace cairn
