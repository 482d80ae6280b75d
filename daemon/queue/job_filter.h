// SPDX-License-Identifier: GPL-3.0-or-later
// JobFilter: which jobs a list shows. Values; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "config/base/clock.h"
#include "daemon/queue/job_record.h"

namespace cairn {

struct JobFilter {
  std::size_t limit = 50;  // the newest, after all that follows
  std::optional<std::string>
      machine{};  // what they did was for this machine: its backups, its points' restores, its prunes
  std::optional<JobKind> kind{};
  std::optional<JobState> state{};
  std::optional<UtcTime> since{};  // queued then or later
  bool empty_prunes = true;        // false: prunes that changed nothing and say nothing are left out
};

// Whether the filter lets it through; `limit` is the caller's.
bool matches(const JobRecord& job, const JobFilter& filter);

}  // namespace cairn
