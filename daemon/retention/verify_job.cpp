// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/retention/verify_job.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "config/base/log.h"
#include "daemon/queue/job.h"
#include "fs/store/verify/repair.h"

namespace cairn {
namespace {

void warn_of_index(const std::optional<Error>& index, JobContext& job) {
  if (index) job.warn(fmt::format("{} [{}]; the packs were gone by instead", index->message(), index->name()));
}

template <class Report>
Result<nlohmann::json> ended(const Report& report, const Store& store, JobContext& job) {
  nlohmann::json document = to_json(report);
  auto verdict = verdict_of(report, store.path().string());
  if (verdict) return document;
  job.keep_result(json_text(document));
  return pass_on(std::move(verdict).error());
}

}  // namespace

Result<nlohmann::json> run_verify(Store& store, const VerifyTask& task, const Clock& clock, JobContext& job) {
  VerifyOptions options = task.options;
  options.stop = job.stop();
  std::uint64_t reported = 0;
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    job.set_total(total);
    if (done > reported) job.add_done(done - reported);
    reported = done;
  };
  if (!task.repair) {
    CAIRN_TRY(const VerifyReport report, verify_store(store, options, clock));
    if (!report.recorded) job.warn("nothing of it was recorded: " + report.not_recorded);
    warn_of_index(report.index, job);
    return ended(report, store, job);
  }
  CAIRN_TRY(const RepairReport report, repair_store(store, {task.replica, options}, clock));
  for (const std::string& problem : report.problems) job.warn(problem);
  warn_of_index(report.after.index, job);
  return ended(report, store, job);
}

}  // namespace cairn
