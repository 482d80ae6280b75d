// SPDX-License-Identifier: GPL-3.0-or-later
// The service's work: point rows, status, and jobs put in the queue. Documents: daemon/API.md.
#include "daemon/service/local_service.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "daemon/backup/backup.h"
#include "daemon/keys/vault_set.h"
#include "daemon/queue/job.h"
#include "daemon/queue/job_queue.h"
#include "daemon/queue/journal.h"
#include "daemon/restore/restore.h"
#include "daemon/restore/restore_header.h"
#include "daemon/retention/known_machines.h"
#include "daemon/retention/verify_job.h"
#include "daemon/service/engine.h"
#include "daemon/service/proof_status.h"
#include "daemon/service/tracking_status.h"
#include "fs/store/collect/space.h"
#include "fs/store/store.h"

namespace cairn {
namespace {

using nlohmann::json;

json name_members(const PointName& name) {
  return json{{"machine", name.machine}, {"point", name.stamp()}, {"name", name.text()}, {"time", iso_time(name.time)}};
}

json make_row(const RecoveryPoint& point) {
  json row = name_members(point.name);
  bool encrypted = false;
  json disks = json::array();
  for (const DiskRecord& disk : point.disks) {
    encrypted = encrypted || disk.facts.encrypted();
    disks.push_back({{"name", disk.name}, {"size", disk.map.size}});
  }
  row["consistency"] = point.consistency;
  row["proof"] = point.proof.state;
  row["disks"] = std::move(disks);
  row["read_bytes"] = point.read_bytes;
  row["new_bytes"] = point.new_bytes;
  row["stored_bytes"] = point.stored_bytes;
  row["duration_ms"] = point.duration_ms;
  row["encrypted"] = encrypted;
  row["immutable_until"] = time_or_null(point.immutable_until);
  row["warnings"] = point.warnings;
  return row;
}

// After the work: it is about this job's entry, not about the recovery point.
void warn_of_journal(const Engine& engine, JobContext& job) {
  if (const auto& damage = engine.journal_error())
    job.warn("this job is not in the journal: " + damage->message() + " [" + std::string(damage->name()) + "]");
}

enum class Reading { as_policy_says, full };

JobSpec backup_spec(Engine& engine, const MachineSettings& machine, JobTrigger trigger, Reading reading) {
  JobSpec spec;
  spec.kind = JobKind::backup;
  spec.object = machine.name;
  spec.trigger = trigger;
  spec.exclusive = "backup " + machine.name;
  spec.run = [&engine, machine, trigger, reading, settings = engine.settings()](JobContext& job) -> Result<json> {
    BackupInputs inputs{engine.store(), engine.clock(), {}, tracking_inputs(*settings, machine, engine.tracking())};
    inputs.tracking.read_all = reading == Reading::full;
    inputs.keys = {settings->policy_of(machine).on_missing_keys, vaults_of(settings)};
    inputs.immutable = settings->policy_of(machine).immutable;
    auto result = run_backup(machine, inputs, job);
    if (result) {
      engine.points_changed();
      const std::string prune = engine.local_service().start_prune_after_backup(machine.name, trigger);
      (*result)["prune"] = prune.empty() ? json(nullptr) : json(prune);
    }
    note_healed(engine.store(), job);
    warn_of_journal(engine, job);
    return result;
  };
  return spec;
}

}  // namespace

LocalService::LocalService(Engine& engine) : engine_(engine) {}
LocalService::~LocalService() = default;

json LocalService::row_of(const PointName& name) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = rows_.find(name); known != rows_.end()) return *known->second;
  }
  const auto point = engine_.store().points().load(name);
  if (!point) {
    // Not kept: it may be put right. One that cannot be read must not hide the others.
    json row = name_members(name);
    row["error"] = to_json(point.error());
    return row;
  }
  auto row = std::make_unique<const json>(make_row(*point));
  json copy = *row;
  const std::lock_guard lock(mutex_);
  rows_[name] = std::move(row);
  return copy;
}

Result<json> LocalService::points(const std::optional<std::string>& machine, PointsListed listed) {
  Store& store = engine_.store();
  CAIRN_TRY(const std::vector<PointName> stored, store.points().list_stored());
  CAIRN_TRY(std::vector<PointName> names,
            listed == PointsListed::deleted ? store.points().list_deleted() : store.points().list());
  CAIRN_TRY(const std::vector<PointName> kept, store.points().list_protected());
  {
    const std::set<PointName> present(stored.begin(), stored.end());
    const std::lock_guard lock(mutex_);
    std::erase_if(rows_, [&](const auto& entry) { return !present.contains(entry.first); });
  }
  if (machine) {
    CAIRN_CHECK(check_known_machine("list recovery points of", *machine, *engine_.settings(), stored));
    std::erase_if(names, [&](const PointName& name) { return name.machine != *machine; });
  }
  std::sort(names.begin(), names.end(), [](const PointName& a, const PointName& b) {
    return std::pair(a.time, a.machine) < std::pair(b.time, b.machine);
  });
  json rows = json::array();
  for (const PointName& name : names) {
    json row = row_of(name);
    // Removed since it was listed.
    if (const auto error = row.find("error"); error != row.end())
      if ((*error)["name"] == catalogue_entry(ErrorCode::point_missing).name) continue;
    row.update(marks_of(name, row, std::ranges::binary_search(kept, name), listed));
    rows.push_back(std::move(row));
  }
  return rows;
}

Result<json> LocalService::point(const std::string& name) {
  CAIRN_TRY(const PointName found, engine_.store().points().find(name));
  CAIRN_TRY(const RecoveryPoint point, engine_.store().points().load(found));
  return to_json(point);
}

Result<json> LocalService::status() {
  const auto settings = engine_.settings();
  const Engine::DaemonView view = engine_.daemon_view();
  CAIRN_TRY(const std::vector<PointName> points, engine_.store().points().list());
  struct MachinePoints {
    std::vector<PointName> points;
    std::optional<PointName> last;
  };
  std::map<std::string, MachinePoints> by_machine;
  for (const auto& entry : settings->machines) by_machine[entry.first];
  for (const PointName& point : points) {
    MachinePoints& of = by_machine[point.machine];
    of.points.push_back(point);
    if (!of.last || of.last->time < point.time) of.last = point;
  }
  json machines = json::array();
  std::size_t without_proof = 0;
  for (const auto& [name, of] : by_machine) {
    json row{{"machine", name},
             {"policy", nullptr},
             {"schedule", nullptr},
             {"timezone", nullptr},
             {"last_point", of.last ? json(of.last->text()) : json(nullptr)},
             {"last_point_time", of.last ? json(iso_time(of.last->time)) : json(nullptr)},
             {"points", of.points.size()},
             {"next_run", nullptr},
             {"last_job", nullptr},
             {"in_settings", false},
             {"keys", view.keys ? view.keys(name) : json(nullptr)},
             {"disks", json::array()}};
    if (const auto machine = settings->machines.find(name); machine != settings->machines.end()) {
      const Policy& policy = settings->policy_of(machine->second);
      row["policy"] = policy.name;
      row["schedule"] = policy.schedule.text();
      row["timezone"] = policy.schedule.zone();
      row["in_settings"] = true;
      row["disks"] = tracking_status(*settings, machine->second, engine_.tracking(), of.last);
      auto next = view.next_run ? view.next_run(name) : std::nullopt;
      // No daemon, or one that has not looked at this machine yet.
      if (!next) next = policy.schedule.next_after(engine_.clock().now());
      if (next) row["next_run"] = iso_time(*next);
    }
    row["last_job"] = last_job_of(name);
    const auto machine = settings->machines.find(name);
    const Schedule* schedule =
        machine == settings->machines.end() ? nullptr : &settings->policy_of(machine->second).schedule;
    row["proof"] = proof_status(newest_rows(of.points), schedule, engine_.clock().now());
    if (row["proof"]["wanting"] == true) ++without_proof;
    machines.push_back(std::move(row));
  }
  const JobQueue::Counts counts = engine_.queue().counts();
  CAIRN_TRY(json space, kept_space(engine_.store()));
  const auto& journal_error = engine_.journal_error();
  const auto& trouble = engine_.store().document_trouble();
  return json{{"version", CAIRN_VERSION},
              {"daemon", view.daemon ? view.daemon() : json{{"running", false}}},
              {"store",
               {{"path", engine_.store().path().string()},
                {"id", engine_.store().info().id},
                {"points", points.size()},
                {"error", trouble ? to_json(*trouble) : json(nullptr)}}},
              {"verify", verify_status_.document(engine_.store(), *settings, engine_.clock().now())},
              {"mount", view.mount ? view.mount() : json(nullptr)},
              {"space", std::move(space)},
              {"journal", {{"error", journal_error ? to_json(*journal_error) : json(nullptr)}}},
              {"jobs", {{"queued", counts.queued}, {"running", counts.running}}},
              {"machines_without_recent_proof", without_proof},
              {"machines", std::move(machines)}};
}

std::function<std::optional<json>()> LocalService::newest_rows(std::vector<PointName> points) {
  std::ranges::sort(points);
  return [this, points = std::move(points)]() mutable -> std::optional<json> {
    if (points.empty()) return std::nullopt;
    const PointName name = std::move(points.back());
    points.pop_back();
    return row_of(name);
  };
}

json LocalService::last_job_of(const std::string& machine) {
  for (const JobRecord& record : engine_.queue().jobs())
    if (record.kind == JobKind::backup && record.object == machine) return to_json(record);
  if (engine_.journal() == nullptr) return nullptr;
  const auto record = engine_.journal()->last_job(JobKind::backup, machine);
  return record && *record ? to_json(**record) : json(nullptr);
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

Result<json> LocalService::job(const std::string& id) {
  auto record = engine_.queue().job(id);
  if (record) return to_json(*record);
  if (engine_.journal() != nullptr) {
    CAIRN_TRY(const auto journalled, engine_.journal()->job(id));
    if (journalled) return to_json(*journalled);
  } else if (engine_.journal_error()) {
    return pass_on(*engine_.journal_error());
  }
  return pass_on(std::move(record).error());
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
      specs.push_back(backup_spec(engine_, *machine, JobTrigger::on_demand,
                                  request.full_read ? Reading::full : Reading::as_policy_says));
  }
  CAIRN_TRY(const auto records, engine_.queue().submit_all(std::move(specs)));
  json jobs = json::array();
  for (const JobRecord& record : records) jobs.push_back(to_json(record));
  return json{{"jobs", std::move(jobs)}};
}

Result<json> LocalService::start_machine(const std::string& machine, JobTrigger trigger) {
  const auto settings = engine_.settings();
  CAIRN_TRY(const MachineSettings* found, settings->machine(machine));
  CAIRN_TRY(const JobRecord record,
            engine_.queue().submit(backup_spec(engine_, *found, trigger, Reading::as_policy_says)));
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
      warn_of_journal(engine, job);
      return result;
    };
  } else {
    const RestoreTask task{point, request.to, request.disk, request.force, request.salvage};
    CAIRN_CHECK(check_restore(engine_.store(), task));
    spec.run = [&engine = engine_, task](JobContext& job) {
      auto result = run_restore(engine.store(), task, job);
      warn_of_journal(engine, job);
      return result;
    };
  }
  CAIRN_TRY(const JobRecord record, engine_.queue().submit(std::move(spec)));
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
  CAIRN_TRY(json old, job(id));
  if (old["state"] == to_string(JobState::queued) || old["state"] == to_string(JobState::in_progress))
    return fail(ErrorCode::no_such_job, "cancel job", id, "another process runs it",
                "interrupt the command that started it");
  return old;
}

}  // namespace cairn
