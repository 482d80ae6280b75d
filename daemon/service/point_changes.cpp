// SPDX-License-Identifier: GPL-3.0-or-later
// The service's work on points that come and go: pruning, deleting, protecting. Documents: daemon/API.md.
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "config/base/log.h"
#include "daemon/backup/tracking.h"
#include "daemon/engine/engine.h"
#include "daemon/queue/job.h"
#include "daemon/queue/job_queue.h"
#include "daemon/queue/lock_wait.h"
#include "daemon/retention/known_machines.h"
#include "daemon/retention/prune.h"
#include "daemon/retention/prune_plan.h"
#include "daemon/service/local_service.h"
#include "fs/store/store.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"

namespace cairn {
namespace {

using nlohmann::json;

// A prune that changed nothing leaves the mounts alone.
bool changed_points(const json& result) {
  return result["dry_run"] == false && (result["totals"]["deleted"] != 0 || result["totals"]["purged"] != 0);
}

}  // namespace

JobSpec LocalService::prune_spec(const PruneTask& task, JobTrigger trigger) {
  JobSpec spec;
  spec.kind = JobKind::prune;
  spec.object = task.machine.value_or("all machines");
  spec.trigger = trigger;
  spec.run = [this, task](JobContext& job) -> Result<json> {
    PruneInputs inputs{engine_.store(), engine_.settings(), engine_.read_clock(), {}};
    const StoreAge age = memory_.look();
    for (const auto& [machine, findings] : age.findings)
      inputs.older.emplace(machine, *age.error(engine_.store().path().string(), machine));
    if (!task.dry_run) sweep_clones(*inputs.settings, tracking_);
    auto result = run_prune(task, inputs, job);
    // Also a failed one may have removed some.
    if (!result || changed_points(*result)) points_changed();
    return result;
  };
  return spec;
}

Result<json> LocalService::start_prune(const PruneRequest& request) {
  CAIRN_TRY(const auto stored, engine_.store().points().list_stored());
  if (request.machine)
    CAIRN_CHECK(check_known_machine("prune recovery points of", *request.machine, *engine_.settings(), stored));
  PruneTask task;
  task.machine = request.machine;
  task.dry_run = request.dry_run;
  task.accept_clock = request.accept_clock;
  task.accept_damage = request.accept_damage;
  task.rate = request.rate;
  task.wait = lock_wait_of(request.wait_s);
  if (request.policy) {
    const auto settings = engine_.settings();
    if (!request.machine || settings->machines.contains(*request.machine))
      return fail(
          ErrorCode::used_wrongly, "prune by policy", *request.policy,
          request.machine ? *request.machine + " is in the settings, which name its policy" : "no machine is named",
          "name one machine that is not in the settings any more");
    if (!settings->policies.contains(*request.policy))
      return fail(ErrorCode::used_wrongly, "prune by policy", *request.policy, "the settings have no such policy");
    task.policy = request.policy;
  }
  JobSpec spec = prune_spec(task, JobTrigger::on_demand);
  if (!task.dry_run) spec.exclusive = "prune";
  CAIRN_TRY(const JobRecord record, engine_.queue().submit(std::move(spec)));
  return to_json(record);
}

JobSpec LocalService::prune_after_backup(const std::string& machine, JobTrigger trigger) {
  PruneTask task;
  task.machine = machine;
  task.collect = Collect::when_needed;
  task.wait = kUsualWait;
  // In the foreground somebody waits for it.
  if (engine_.role() == EngineRole::daemon) task.rate = engine_.settings()->maintenance.rate;
  JobSpec spec = prune_spec(task, trigger);
  // Refused when one waits already, which does the same.
  spec.exclusive = "prune " + machine;
  return spec;
}

Result<json> LocalService::delete_point(const DeleteRequest& request) {
  Store& store = engine_.store();
  auto named = store.points().find(request.point);
  if (!named && named.error().code == ErrorCode::point_deleted && request.for_good)
    named = store.points().find_deleted(request.point);
  if (!named) return pass_on(std::move(named).error());
  const PointName found = *std::move(named);
  if (request.for_good)
    if (auto older = memory_.look().error(store.path().string(), found.machine)) return pass_on(*std::move(older));
  const ClockReading reading = engine_.read_clock();
  // By a wrong clock it could be removed for good as soon as that is right again.
  CAIRN_TRY(const ClockVerdict clock, store.points().check_clock(reading, false));
  const auto settings = engine_.settings();
  const Policy* policy = policy_for(*settings, found.machine);
  const auto point = store.points().load(found);
  if (!point && point.error().code != ErrorCode::point_damaged) return pass_on(point.error());
  const UtcTime taken = taken_at(found, point ? point->trusted_time : std::nullopt,
                                 store.points().order_of(found.machine).written_by(found.time), reading.now);
  const auto until = immutable_until(taken, point ? point->immutable_until : std::nullopt, policy);
  if (until && *until > clock.trusted)
    return fail(ErrorCode::point_immutable, "delete recovery point", found.text(),
                "it is immutable until " + iso_time(*until));
  CAIRN_TRY(const auto writer, begin_writing(store, "delete of " + found.text()));
  if (auto kept = keep_clock(*writer, clock.record); !kept && kept.error().code != ErrorCode::no_space)
    return pass_on(std::move(kept).error());
  const auto& soft_delete = (policy != nullptr ? *policy : settings->policies.at("default")).soft_delete;
  const bool hide = soft_delete.has_value() && !request.for_good;
  json document = name_members(found);
  document["deleted"] = iso_time(reading.now);
  document["purged"] = !hide;
  document["purge_after"] = nullptr;
  if (hide) {
    const UtcTime purge_after = reading.now + *soft_delete;
    document["purge_after"] = iso_time(purge_after);
    CAIRN_CHECK(cairn::delete_point(*writer, {found, reading.now, purge_after, "by hand"}, clock.trusted));
  } else {
    auto purged = cairn::purge_point(*writer, found, "by hand", reading.now, clock.trusted);
    if (!purged && purged.error().code == ErrorCode::point_in_use) {
      // Hidden at once; who reads it reads on, and the next prune removes it.
      document["purged"] = false;
      document["purge_after"] = iso_time(reading.now);
      purged = cairn::delete_point(*writer, {found, reading.now, reading.now, "by hand"}, clock.trusted);
      // One that was deleted before keeps the date that it had.
      if (const auto kept = store.points().deletion_of(found)) document["purge_after"] = iso_time(kept->purge_after);
    }
    CAIRN_CHECK(purged);
  }
  log_event(LogLevel::info, "point-deleted", found.text(), {{"purge_after", json_text(document["purge_after"])}});
  points_changed();
  return document;
}

Result<json> LocalService::undelete_point(const std::string& name) {
  CAIRN_TRY(const PointName found, engine_.store().points().find_deleted(name));
  CAIRN_TRY(const auto writer, begin_writing(engine_.store(), "undelete of " + found.text()));
  CAIRN_CHECK(cairn::undelete_point(*writer, found));
  log_event(LogLevel::info, "point-undeleted", found.text());
  points_changed();
  return name_members(found);
}

Result<json> LocalService::protect_point(const ProtectRequest& request) {
  CAIRN_TRY(const PointName found, engine_.store().points().find(request.point));
  const UtcTime now = engine_.clock().now();
  if (request.until && *request.until <= now)
    return fail(ErrorCode::used_wrongly, "protect recovery point", found.text(),
                "the time " + iso_time(*request.until) + " is over already", "name a time to come");
  CAIRN_TRY(const auto writer, begin_writing(engine_.store(), "protection of " + found.text()));
  json document = name_members(found);
  document["protected"] = nullptr;
  if (request.off) {
    CAIRN_CHECK(cairn::unprotect_point(*writer, found));
  } else {
    const Protection protection{found, now, request.until};
    CAIRN_CHECK(cairn::protect_point(*writer, protection));
    document["protected"] = to_json(protection);
  }
  memory_.look();
  log_event(LogLevel::info, request.off ? "point-unprotected" : "point-protected", found.text());
  return document;
}

}  // namespace cairn
