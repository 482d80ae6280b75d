// SPDX-License-Identifier: GPL-3.0-or-later
// JobRecord: one job as the queue, the journal and the control API know it. Document: daemon/API.md "Job". Any thread.
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
enum class JobTrigger { on_demand, schedule, catch_up };

std::string_view to_string(JobKind kind);        // "backup", "restore"
std::string_view to_string(JobState state);      // "Queued", "InProgress", "Completed", "CompletedWithWarnings", ...
std::string_view to_string(JobTrigger trigger);  // "on-demand", "schedule", "catch-up"
std::optional<JobState> parse_job_state(std::string_view text);
inline bool has_ended(JobState state) {
  return state != JobState::queued && state != JobState::in_progress;
}

struct JobRecord {
  std::string id;
  JobKind kind = JobKind::backup;
  std::string object;  // backup: the machine; restore: machine@stamp
  JobState state = JobState::queued;
  JobTrigger trigger = JobTrigger::on_demand;
  UtcTime queued;
  std::optional<UtcTime> started;
  std::optional<UtcTime> ended;
  std::string point;  // machine@stamp; empty: none yet
  std::uint64_t revision = 1;
  std::uint64_t done_bytes = 0;
  std::uint64_t total_bytes = 0;
  std::string result;  // JSON text; empty: none
  std::vector<std::string> warnings;
  std::optional<Error> error;
};

nlohmann::json to_json(const JobRecord& record);
// Errors: journal_damaged.
Result<JobRecord> job_from_json(const nlohmann::json& document);

nlohmann::json time_or_null(const std::optional<UtcTime>& time);

// {"name","message","resolution","doing","object","because","errno"}; error_from_json gives the same Error back.
nlohmann::json to_json(const Error& error);
Error error_from_json(const nlohmann::json& document);

}  // namespace cairn
