// SPDX-License-Identifier: GPL-3.0-or-later
// The service's verifying: jobs of kind verify. Documents: daemon/API.md.
#include <nlohmann/json.hpp>

#include "daemon/queue/job.h"
#include "daemon/queue/job_queue.h"
#include "daemon/retention/verify_job.h"
#include "daemon/service/engine.h"
#include "daemon/service/local_service.h"
#include "daemon/upkeep/scrubber.h"
#include "fs/store/store.h"

namespace cairn {
namespace {

JobSpec verify_spec(Engine& engine, VerifyStatus& status, const VerifyTask& task, const std::string& object,
                    JobTrigger trigger) {
  JobSpec spec;
  spec.kind = JobKind::verify;
  spec.object = object;
  spec.trigger = trigger;
  spec.exclusive = "verify";
  spec.beside = true;
  spec.run = [&engine, &status, task](JobContext& job) {
    auto result = run_verify(engine.store(), task, engine.clock(), job);
    status.forget();
    if (task.repair) engine.points_changed();
    return result;
  };
  return spec;
}

}  // namespace

Result<nlohmann::json> LocalService::start_verify(const VerifyRequest& request) {
  const auto settings = engine_.settings();
  VerifyTask task;
  task.options.data_percent = request.data_percent;
  task.options.accept_gaps = request.accept_gaps;
  task.options.rate = request.rate;
  task.repair = request.repair;
  if (!request.from.empty()) {
    if (!request.repair)
      return fail(ErrorCode::used_wrongly, "verify", request.from, "a replica is for repairs only",
                  "ask to repair too");
    task.replica = request.from;
    if (!task.replica->is_absolute())
      return fail(ErrorCode::used_wrongly, "use replica", request.from, "its path is not absolute");
  }
  CAIRN_TRY(const JobRecord record,
            engine_.queue().submit(verify_spec(engine_, verify_status_, task, kVerifyStore, JobTrigger::on_demand)));
  return to_json(record);
}

Result<nlohmann::json> LocalService::start_scrub(std::chrono::seconds every, bool structure) {
  CAIRN_TRY(const VerifyAge age, verify_age(engine_.store()));
  const ScrubSlice slice = scrub_slice(every, age.bytes, age.since, engine_.clock().now());
  VerifyTask task;
  task.options.at_most = slice.bytes;
  task.options.not_since = slice.not_since;
  task.options.structure = structure;
  task.options.rate = engine_.settings()->maintenance.rate;
  CAIRN_TRY(const JobRecord record,
            engine_.queue().submit(verify_spec(engine_, verify_status_, task, structure ? kVerifyStore : kVerifySlice,
                                               JobTrigger::schedule)));
  return to_json(record);
}

}  // namespace cairn
