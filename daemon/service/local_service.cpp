// SPDX-License-Identifier: GPL-3.0-or-later
// Requests become jobs of the queue. Documents: daemon/API.md.
#include "daemon/service/local_service.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "daemon/backup/backup_spec.h"
#include "daemon/engine/engine.h"
#include "daemon/queue/job.h"
#include "daemon/queue/job_queue.h"
#include "daemon/queue/journal.h"
#include "daemon/restore/restore.h"
#include "daemon/restore/restore_header.h"
#include "daemon/retention/verify_job.h"
#include "daemon/upkeep/scrubber.h"
#include "fs/store/store.h"

namespace cairn {

using nlohmann::json;

LocalService::LocalService(Engine& engine)
    : engine_(engine),
      tracking_(tracking_place(engine.settings()->state_dir, engine.store().info().id)),
      rows_(engine.store(), engine.clock()) {}

LocalService::~LocalService() {
  engine_.stop();
}

void LocalService::on_points_changed(std::function<void()> call) {
  *on_points_changed_.lock() = std::move(call);
}

void LocalService::points_changed() {
  const std::function<void()> call = *on_points_changed_.lock();
  if (call) call();
}

void LocalService::set_daemon_view(DaemonView view) {
  *daemon_view_.lock() = std::move(view);
}

Result<json> LocalService::points(const std::optional<std::string>& machine, PointsListed listed) {
  return rows_.list(machine, listed, *engine_.settings());
}

Result<json> LocalService::point(const std::string& name) {
  CAIRN_TRY(const PointName found, engine_.store().points().find(name));
  CAIRN_TRY(const RecoveryPoint point, engine_.store().points().load(found));
  return to_json(point);
}

Result<json> LocalService::status() {
  return status_document({engine_, rows_, verify_status_, tracking_, *daemon_view_.lock()});
}

Result<json> LocalService::jobs(std::size_t limit) {
  if (engine_.journal_error()) return pass_on(*engine_.journal_error());
  // The queue knows its own jobs better than the journal does; the journal knows older ones and those of other
  // processes.
  std::vector<JobRecord> records = engine_.queue().jobs();
  if (engine_.journal() != nullptr) {
    std::set<std::string> known;
    for (const JobRecord& record : records) known.insert(record.id);
    CAIRN_TRY(std::vector<JobRecord> journalled, engine_.journal()->jobs(limit));
    for (JobRecord& record : journalled)
      if (!known.contains(record.id)) records.push_back(std::move(record));
  }
  std::stable_sort(records.begin(), records.end(),
                   [](const JobRecord& a, const JobRecord& b) { return a.queued > b.queued; });
  if (records.size() > limit) records.resize(limit);
  json rows = json::array();
  for (const JobRecord& record : records) rows.push_back(to_json(record));
  return rows;
}

Result<JobRecord> LocalService::record_of(const std::string& id) {
  auto record = engine_.queue().job(id);
  if (record) return record;
  if (engine_.journal() != nullptr) {
    CAIRN_TRY(auto journalled, engine_.journal()->job(id));
    if (journalled) return *std::move(journalled);
  } else if (engine_.journal_error()) {
    return pass_on(*engine_.journal_error());
  }
  return record;
}

Result<json> LocalService::job(const std::string& id) {
  CAIRN_TRY(const JobRecord record, record_of(id));
  return to_json(record);
}

JobSpec LocalService::backup_of(const MachineSettings& machine, JobTrigger trigger, Reading reading) {
  JobSpec spec = backup_spec(machine, trigger, reading,
                             {engine_.store(), engine_.clock(), engine_.settings(), tracking_, engine_.journal_error(),
                              [this] { points_changed(); }});
  spec.then = [this, machine = machine.name, trigger](const json&) { return prune_after_backup(machine, trigger); };
  return spec;
}

Result<json> LocalService::start_backup(const BackupRequest& request) {
  const auto settings = engine_.settings();
  if (request.all == !request.machines.empty())
    return fail(ErrorCode::used_wrongly, "start backup", "", "name machines, or ask for all, not both and not neither");
  std::vector<std::string> names = request.machines;
  if (request.all)
    for (const auto& entry : settings->machines) names.push_back(entry.first);
  if (names.empty())
    return fail(ErrorCode::no_such_machine, "start backup", settings->file.string(), "the settings have no machines");
  std::vector<JobSpec> specs;
  std::set<std::string> seen;
  for (const std::string& name : names) {
    CAIRN_TRY(const MachineSettings* machine, settings->machine(name));
    if (seen.insert(name).second)
      specs.push_back(
          backup_of(*machine, JobTrigger::on_demand, request.full_read ? Reading::full : Reading::as_policy_says));
  }
  CAIRN_TRY(const auto records, engine_.queue().submit_all(std::move(specs)));
  json jobs = json::array();
  for (const JobRecord& record : records) jobs.push_back(to_json(record));
  return json{{"jobs", std::move(jobs)}};
}

Result<json> LocalService::start_machine(const std::string& machine, JobTrigger trigger) {
  const auto settings = engine_.settings();
  CAIRN_TRY(const MachineSettings* found, settings->machine(machine));
  CAIRN_TRY(const JobRecord record, engine_.queue().submit(backup_of(*found, trigger, Reading::as_policy_says)));
  return to_json(record);
}

Result<json> LocalService::start_restore(const RestoreRequest& request) {
  CAIRN_TRY(const PointName point, engine_.store().points().find(request.point));
  JobSpec spec;
  spec.kind = JobKind::restore;
  spec.object = point.text();
  if (request.header_only) {
    const HeaderFilesTask task{point, request.to, request.disk, request.force};
    spec.run = [&engine = engine_, task](JobContext& job) {
      job.set_point(task.point.text());
      auto result = restore_header_files(engine.store(), task);
      warn_of_journal(engine.journal_error(), job);
      return result;
    };
  } else {
    const RestoreTask task{point, request.to, request.disk, static_cast<const RestoreFlags&>(request),
                           vaults_of(engine_.settings())};
    CAIRN_CHECK(check_restore(engine_.store(), task));
    spec.run = [&engine = engine_, task](JobContext& job) {
      auto result = run_restore(engine.store(), task, job);
      warn_of_journal(engine.journal_error(), job);
      return result;
    };
  }
  CAIRN_TRY(const JobRecord record, engine_.queue().submit(std::move(spec)));
  return to_json(record);
}

JobSpec LocalService::verify_spec(const VerifyTask& task, const std::string& object, JobTrigger trigger) {
  JobSpec spec;
  spec.kind = JobKind::verify;
  spec.object = object;
  spec.trigger = trigger;
  spec.exclusive = "verify";
  spec.beside = true;
  spec.run = [this, task](JobContext& job) {
    auto result = run_verify(engine_.store(), task, engine_.clock(), job);
    verify_status_.forget();
    if (task.repair) points_changed();
    return result;
  };
  return spec;
}

Result<json> LocalService::start_verify(const VerifyRequest& request) {
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
  CAIRN_TRY(const JobRecord record, engine_.queue().submit(verify_spec(task, kVerifyStore, JobTrigger::on_demand)));
  return to_json(record);
}

Result<json> LocalService::start_scrub(std::chrono::seconds every, bool structure) {
  CAIRN_TRY(const VerifyAge age, verify_age(engine_.store()));
  const ScrubSlice slice = scrub_slice(every, age.bytes, age.since, engine_.clock().now());
  VerifyTask task;
  task.options.at_most = slice.bytes;
  task.options.not_since = slice.not_since;
  task.options.structure = structure;
  task.options.rate = engine_.settings()->maintenance.rate;
  CAIRN_TRY(const JobRecord record,
            engine_.queue().submit(verify_spec(task, structure ? kVerifyStore : kVerifySlice, JobTrigger::schedule)));
  return to_json(record);
}

Result<json> LocalService::wait_job(const std::string& id, std::uint64_t seen, std::chrono::milliseconds at_most) {
  auto record = engine_.queue().wait(id, seen, at_most);
  // Jobs of earlier times do not change any more.
  return record ? to_json(*record) : job(id);
}

Result<json> LocalService::cancel_job(const std::string& id) {
  auto record = engine_.queue().cancel(id);
  if (record) return to_json(*record);
  CAIRN_TRY(const JobRecord old, record_of(id));
  if (!has_ended(old.state))
    return fail(ErrorCode::no_such_job, "cancel job", id, "another process runs it",
                "interrupt the command that started it");
  return to_json(old);
}

}  // namespace cairn
