// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/queue/job_filter.h"

#include <nlohmann/json.hpp>

#include "config/base/json.h"

namespace cairn {
namespace {

bool is_for(const JobRecord& job, const std::string& machine) {
  return job.object == machine || job.object.starts_with(machine + "@");
}

// A prune that follows each backup has nothing to do, most of the time.
bool is_empty_prune(const JobRecord& job) {
  if (job.kind != JobKind::prune || job.state != JobState::completed) return false;
  const auto result = parse_json(job.result);
  if (!result) return false;
  bool empty = false;
  const auto problem = problem_of_reading([&] {
    const auto& totals = result->at("totals");
    const auto& collection = result->at("collection");
    empty = totals.at("deleted") == 0 && totals.at("purged") == 0 &&
            (collection.is_null() || collection.at("freed_bytes") == 0);
  });
  return !problem && empty;
}

}  // namespace

bool matches(const JobRecord& job, const JobFilter& filter) {
  if (filter.machine && !is_for(job, *filter.machine)) return false;
  if (filter.kind && job.kind != *filter.kind) return false;
  if (filter.state && job.state != *filter.state) return false;
  if (filter.since && job.queued < *filter.since) return false;
  return filter.empty_prunes || !is_empty_prune(job);
}

}  // namespace cairn
