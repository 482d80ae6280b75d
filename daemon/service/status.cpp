// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/status.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "daemon/engine/engine.h"
#include "daemon/queue/job_queue.h"
#include "daemon/queue/journal.h"
#include "daemon/service/point_rows.h"
#include "daemon/service/proof_status.h"
#include "daemon/service/tracking_status.h"
#include "daemon/service/verify_status.h"
#include "fs/store/collect/space.h"
#include "fs/store/store.h"

namespace cairn {
namespace {

using nlohmann::json;

struct MachinePoints {
  std::vector<PointName> points;
  std::optional<PointName> last;
};

// Those of the settings, and those that have points all the same.
std::map<std::string, MachinePoints> by_machine(const Settings& settings, const std::vector<PointName>& points) {
  std::map<std::string, MachinePoints> machines;
  for (const auto& entry : settings.machines) machines[entry.first];
  for (const PointName& point : points) {
    MachinePoints& of = machines[point.machine];
    of.points.push_back(point);
    if (!of.last || of.last->time < point.time) of.last = point;
  }
  return machines;
}

// The machine's newest backup job, or null.
json last_job_of(Engine& engine, const std::string& machine) {
  for (const JobRecord& record : engine.queue().jobs())
    if (record.kind == JobKind::backup && record.object == machine) return to_json(record);
  if (engine.journal() == nullptr) return nullptr;
  const auto record = engine.journal()->last_job(JobKind::backup, machine);
  return record && *record ? to_json(**record) : json(nullptr);
}

json machine_row(const StatusSources& sources, const Settings& settings, const std::string& name,
                 const MachinePoints& of) {
  const UtcTime now = sources.engine.clock().now();
  const DaemonView& view = sources.daemon;
  json row{{"machine", name},
           {"policy", nullptr},
           {"schedule", nullptr},
           {"timezone", nullptr},
           {"last_point", of.last ? json(of.last->text()) : json(nullptr)},
           {"last_point_time", of.last ? json(iso_time(of.last->time)) : json(nullptr)},
           {"points", of.points.size()},
           {"next_run", nullptr},
           {"last_job", last_job_of(sources.engine, name)},
           {"in_settings", false},
           {"keys", view.keys ? view.keys(name) : json(nullptr)},
           {"disks", json::array()}};
  const Policy* const policy = policy_for(settings, name);
  if (policy != nullptr) {
    row["policy"] = policy->name;
    row["schedule"] = policy->schedule.text();
    row["timezone"] = policy->schedule.zone();
    row["in_settings"] = true;
    row["disks"] = tracking_status(settings, settings.machines.at(name), sources.tracking, of.last);
    auto next = view.next_run ? view.next_run(name) : std::nullopt;
    // No daemon, or one that has not looked at this machine yet.
    if (!next) next = policy->schedule.next_after(now);
    if (next) row["next_run"] = iso_time(*next);
  }
  row["proof"] = proof_status(sources.rows.newest(of.points), policy != nullptr ? &policy->schedule : nullptr, now);
  return row;
}

}  // namespace

Result<json> status_document(const StatusSources& sources) {
  Engine& engine = sources.engine;
  const DaemonView& view = sources.daemon;
  const auto settings = engine.settings();
  CAIRN_TRY(const std::vector<PointName> points, engine.store().points().list());
  json machines = json::array();
  std::size_t without_proof = 0;
  for (const auto& [name, of] : by_machine(*settings, points)) {
    machines.push_back(machine_row(sources, *settings, name, of));
    if (machines.back()["proof"]["wanting"] == true) ++without_proof;
  }
  const JobQueue::Counts counts = engine.queue().counts();
  CAIRN_TRY(json space, kept_space(engine.store()));
  const auto& journal_error = engine.journal_error();
  const auto& trouble = engine.store().document_trouble();
  const auto index = index_trouble(engine.store());
  json index_error = nullptr;
  if (!index)
    index_error = to_json(index.error());
  else if (*index)
    index_error = to_json(**index);
  return json{{"version", CAIRN_VERSION},
              {"daemon", view.daemon ? view.daemon() : json{{"running", false}}},
              {"store",
               {{"path", engine.store().path().string()},
                {"id", engine.store().info().id},
                {"points", points.size()},
                {"error", trouble ? to_json(*trouble) : json(nullptr)},
                {"index_error", std::move(index_error)}}},
              {"verify", sources.verify.document(engine.store(), *settings, engine.clock().now())},
              {"mount", view.mount ? view.mount() : json(nullptr)},
              {"space", std::move(space)},
              {"journal", {{"error", journal_error ? to_json(*journal_error) : json(nullptr)}}},
              {"jobs", {{"queued", counts.queued}, {"running", counts.running}}},
              {"machines_without_recent_proof", without_proof},
              {"machines", std::move(machines)}};
}

}  // namespace cairn
