// SPDX-License-Identifier: GPL-3.0-or-later
// Following jobs to their end: progress on the terminal, Ctrl-C as cancellation, and what the outcome means for the
// process. Works the same on the daemon's jobs and on this process's own. One thread at a time.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "daemon/queue/job_record.h"

namespace cairn {
class Service;
}

namespace cairn::cli {

// Catches SIGINT and SIGTERM while it lives. The first one is only noted; a second one ends the process as usual.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;
  [[nodiscard]] static bool seen();
};

// Waits until all `jobs` (documents) have ended; theirs at the end, in the same order. When interrupted, asks each to
// stop and goes on waiting. `show_progress`: on standard error. Errors: those of wait_job.
Result<nlohmann::json> follow_jobs(Service& service, const nlohmann::json& jobs, bool show_progress);

// Nothing: the document has none, or a word of another version's.
std::optional<JobState> state_of(const nlohmann::json& job);
bool has_ended(const nlohmann::json& job);
// The worst of them: failed or cancelled, completed with warnings, completed.
ExitCode exit_code_of(const nlohmann::json& jobs);

}  // namespace cairn::cli
