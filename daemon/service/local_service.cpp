// SPDX-License-Identifier: GPL-3.0-or-later
// Requests become jobs of the queue. Documents: daemon/API.md.
#include "daemon/service/local_service.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "config/base/json.h"
#include "daemon/backup/backup_spec.h"
#include "daemon/engine/engine.h"
#include "daemon/keys/key_rules.h"
#include "daemon/queue/job.h"
#include "daemon/queue/job_filter.h"
#include "daemon/queue/job_queue.h"
#include "daemon/queue/journal.h"
#include "daemon/queue/lock_wait.h"
#include "daemon/restore/restore.h"
#include "daemon/restore/restore_header.h"
#include "daemon/retention/verify_job.h"
#include "daemon/service/give_back.h"
#include "daemon/upkeep/scrubber.h"
#include "fs/store/collect/space.h"
#include "fs/store/store.h"

namespace cairn {

using nlohmann::json;

namespace {
constexpr std::size_t kMostJobsLookedAt = 10'000;  // as many as the journal keeps
}  // namespace

LocalService::LocalService(Engine& engine)
    : engine_(engine),
      tracking_(tracking_place(engine.settings()->state_dir, engine.store().info().id)),
      rows_(engine.store(), engine.clock()),
      space_(engine.settings()->state_dir, engine.store().info().id),
      memory_(engine.settings()->state_dir, engine.store(), engine.clock()) {}

LocalService::~LocalService() {
  engine_.stop();
}

void LocalService::on_points_changed(std::function<void()> call) {
  *on_points_changed_.lock() = std::move(call);
}

void LocalService::points_changed() {
  // What is not remembered now could be taken back unseen.
  memory_.look();
  const std::function<void()> call = *on_points_changed_.lock();
  if (call) call();
}

void LocalService::note_space() {
  const auto space = free_space(engine_.store());
  if (space && *space) space_.note({engine_.clock().now(), (*space)->free, (*space)->total});
}

void LocalService::set_daemon_view(DaemonView view) {
  *daemon_view_.lock() = std::move(view);
}

Result<json> LocalService::points(const std::optional<std::string>& machine, PointsListed listed) {
  CAIRN_TRY(json rows, rows_.list(machine, listed, *engine_.settings()));
  const StoreAge age = memory_.look();
  for (const auto& [name, findings] : age.findings) {
    if (machine && *machine != name) continue;
    rows.push_back({{"machine", name},
                    {"point", nullptr},
                    {"name", name},
                    {"time", nullptr},
                    {"error", to_json(*age.error(engine_.store().path().string(), name))}});
  }
  return rows;
}

Result<json> LocalService::point(const std::string& name) {
  CAIRN_TRY(const PointName found, engine_.store().points().find(name));
  CAIRN_TRY(const RecoveryPoint point, engine_.store().points().load(found));
  return to_json(point);
}

Result<json> LocalService::status() {
  const StoreAge age = memory_.look();
  CAIRN_TRY(json document, status_document({engine_, rows_, verify_status_, tracking_, space_, *daemon_view_.lock()}));
  document["rollback"] = to_json(age, engine_.store().path().string());
  return document;
}

Result<json> LocalService::jobs(const JobFilter& filter) {
  // One that cannot be written can still be read, perhaps.
  if (const auto& error = engine_.journal_error();
      error && (error->code == ErrorCode::journal_damaged || engine_.journal() == nullptr))
    return pass_on(*error);
  // The queue knows its own jobs better than the journal does; the journal knows older ones and those of other
  // processes.
  std::vector<JobRecord> records = engine_.queue().jobs();
  if (engine_.journal() != nullptr) {
    const bool narrowed = filter.machine || filter.kind || filter.state || filter.since || !filter.empty_prunes;
    std::set<std::string> known;
    for (const JobRecord& record : records) known.insert(record.id);
    CAIRN_TRY(std::vector<JobRecord> journalled, engine_.journal()->jobs(narrowed ? kMostJobsLookedAt : filter.limit));
    for (JobRecord& record : journalled)
      if (!known.contains(record.id)) records.push_back(std::move(record));
  }
  std::stable_sort(records.begin(), records.end(),
                   [](const JobRecord& a, const JobRecord& b) { return a.queued > b.queued; });
  std::erase_if(records, [&](const JobRecord& record) { return !matches(record, filter); });
  if (records.size() > filter.limit) records.resize(filter.limit);
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

JobSpec LocalService::backup_of(const MachineSettings& machine, const BackupWishes& wishes) {
  const auto committed = [this] {
    note_space();
    points_changed();
  };
  JobSpec spec = backup_spec(machine, wishes,
                             {engine_.store(), engine_.clock(), engine_.settings(), tracking_, engine_.journal_error(),
                              committed, [this] { return engine_.read_clock(); }});
  spec.run = [this, machine = machine.name, back_up = std::move(spec.run)](JobContext& job) -> Result<json> {
    if (const auto error = memory_.look().error(engine_.store().path().string(), machine)) job.warn(as_warning(*error));
    auto result = back_up(job);
    if (result || !is_want_of_space(result.error())) return result;
    // While the store is older than it was nothing goes.
    if (memory_.look().older()) return result;
    const std::uint64_t rate = engine_.role() == EngineRole::daemon ? engine_.settings()->maintenance.rate : 0;
    return pass_on(give_back(engine_.store(), job, rate, std::move(result).error()));
  };
  spec.then = [this, machine = machine.name, trigger = wishes.trigger](const json&) {
    return prune_after_backup(machine, trigger);
  };
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
          backup_of(*machine, {JobTrigger::on_demand, request.full_read ? Reading::full : Reading::as_policy_says,
                               lock_wait_of(request.wait_s), request.accept_change}));
  }
  CAIRN_TRY(const auto records, engine_.queue().submit_all(std::move(specs)));
  json jobs = json::array();
  for (const JobRecord& record : records) jobs.push_back(to_json(record));
  return json{{"jobs", std::move(jobs)}};
}

Result<json> LocalService::start_machine(const std::string& machine, JobTrigger trigger) {
  const auto settings = engine_.settings();
  CAIRN_TRY(const MachineSettings* found, settings->machine(machine));
  CAIRN_TRY(const JobRecord record, engine_.queue().submit(backup_of(*found, {.trigger = trigger})));
  return to_json(record);
}

Result<json> LocalService::start_restore(const RestoreRequest& request) {
  CAIRN_TRY(const PointName point, engine_.store().points().find(request.point));
  JobSpec spec;
  spec.kind = JobKind::restore;
  spec.object = point.text();
  if (request.header_only) {
    const HeaderFilesTask task{
        point, request.to, request.disk, request.force, engine_.clock().now(), vaults_of(engine_.settings())};
    spec.run = [&engine = engine_, task](JobContext& job) {
      job.set_point(task.point.text());
      auto result = restore_header_files(engine.store(), task, job);
      warn_of_journal(engine.journal_error(), job);
      return result;
    };
  } else {
    const RestoreTask task{point,
                           request.to,
                           request.disk,
                           static_cast<const RestoreFlags&>(request),
                           engine_.clock().now(),
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
  spec.run = [this, task](JobContext& job) -> Result<json> {
    auto result = run_verify(engine_.store(), task, engine_.clock(), job);
    verify_status_.forget();
    if (task.repair) points_changed();
    auto error = memory_.look().error(engine_.store().path().string());
    if (!error) return result;
    // What else was found is the error then.
    if (!result) {
      job.warn(as_warning(*error));
      return result;
    }
    job.keep_result(json_text(*result));
    return pass_on(*std::move(error));
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
  task.wait = lock_wait_of(request.wait_s);
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
