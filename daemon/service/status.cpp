// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/status.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "daemon/backup/guest_session.h"
#include "daemon/backup/tracking_place.h"
#include "daemon/engine/engine.h"
#include "daemon/keys/known_disks.h"
#include "daemon/queue/job_queue.h"
#include "daemon/queue/journal.h"
#include "daemon/service/point_rows.h"
#include "daemon/service/proof_status.h"
#include "daemon/service/space_trend.h"
#include "daemon/service/timed_look.h"
#include "daemon/service/tracking_status.h"
#include "daemon/service/verify_status.h"
#include "daemon/upkeep/mount_keeper.h"
#include "fs/guest/hold_record.h"
#include "fs/store/collect/space.h"
#include "fs/store/store.h"

namespace cairn {
namespace {

using nlohmann::json;

struct MachinePoints {
  std::vector<PointName> points;
  std::optional<PointName> last;
};

// Those of the settings, and those that have points all the same. `latest`: of each the point that was written last.
std::map<std::string, MachinePoints> by_machine(const Settings& settings, const std::vector<PointName>& points,
                                                const std::vector<PointName>& latest) {
  std::map<std::string, MachinePoints> machines;
  for (const auto& entry : settings.machines) machines[entry.first];
  for (const PointName& point : points) {
    MachinePoints& of = machines[point.machine];
    of.points.push_back(point);
  }
  for (const PointName& point : latest) {
    MachinePoints& of = machines[point.machine];
    of.last = point;
    // Looked at first, whatever its date is.
    if (const auto place = std::ranges::find(of.points, point); place != of.points.end())
      std::rotate(place, place + 1, of.points.end());
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

// What the last point says of its making; null members: its document cannot be read.
json labels_of(const json& row) {
  json labels = json::object();
  for (const char* member : {"consistency", "apart_ms", "suspect", "left_out", "in_future"})
    labels[member] = row.contains(member) ? row.at(member) : json(nullptr);
  return labels;
}

// Whether the clock goes on as the store remembers it.
json clock_document(Engine& engine) {
  const auto verdict = engine.store().points().check_clock(engine.read_clock(), false);
  const bool jumped = !verdict && verdict.error().code == ErrorCode::clock_jumped;
  return {{"doubtful_s", verdict ? json(verdict->record.doubtful.count()) : json(nullptr)},
          {"error", jumped ? to_json(verdict.error()) : json(nullptr)}};
}

// For all disks together: whoever asks is answered.
constexpr std::chrono::seconds kDisksMayTake{2};

json machine_row(const StatusSources& sources, const std::shared_ptr<const Settings>& in_force, TimedLook& disks,
                 const std::string& name, const MachinePoints& of) {
  const Settings& settings = *in_force;
  const UtcTime now = sources.engine.clock().now();
  const DaemonView& view = sources.daemon;
  json row{{"machine", name},
           {"policy", nullptr},
           {"schedule", nullptr},
           {"timezone", nullptr},
           {"last_point", of.last ? json(of.last->text()) : json(nullptr)},
           {"last_point_time", of.last ? json(iso_time(of.last->time)) : json(nullptr)},
           {"points", of.points.size()},
           {"last_point_labels", of.last ? labels_of(sources.rows.row_of_point(*of.last)) : json(nullptr)},
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
    const MachineSettings machine = with_known_disks(settings.machines.at(name), sources.engine.store());
    row["disks"] = disks.at(
        name,
        [in_force, machine, place = sources.tracking, last = of.last] {
          return tracking_status(*in_force, machine, place, last);
        },
        unknown_tracking(machine));
    auto next = view.next_run ? view.next_run(name) : std::nullopt;
    // No daemon, or one that has not looked at this machine yet.
    if (!next) next = policy->schedule.next_after(now);
    if (next) row["next_run"] = iso_time(*next);
  }
  row["proof"] = proof_status(sources.rows.newest(of.points), policy != nullptr ? &policy->schedule : nullptr, now);
  return row;
}

// Guests that are held, or were not seen to run again.
json held_guests(const Settings& settings) {
  json rows = json::array();
  if (const auto noted = HoldRecord::list(guest_place(settings).notes))
    for (const HoldRecord::Noted& note : *noted)
      rows.push_back({{"machine", note.machine}, {"since", iso_time(note.since)}});
  return rows;
}

// What the store takes and what its file system has left; what cannot be seen is null.
json store_document(const StatusSources& sources, std::size_t points, const json& verify) {
  Store& store = sources.engine.store();
  const auto& trouble = store.document_trouble();
  json document{{"path", store.path().string()},
                {"id", store.info().id},
                {"points", points},
                {"stored_bytes", verify.contains("bytes") ? verify["bytes"] : json(nullptr)},
                {"free_bytes", nullptr},
                {"total_bytes", nullptr},
                {"used_percent", nullptr},
                {"days_left", nullptr},
                {"error", trouble ? to_json(*trouble) : json(nullptr)},
                {"index_error", nullptr}};
  if (const auto index = index_trouble(store); !index)
    document["index_error"] = to_json(index.error());
  else if (*index)
    document["index_error"] = to_json(**index);
  const auto space = free_space(store);
  if (!space || !*space || (*space)->total == 0) return document;
  const UtcTime now = sources.engine.clock().now();
  std::vector<SpaceSample> samples = sources.space.samples();
  samples.push_back({now, (*space)->free, (*space)->total});
  document["free_bytes"] = (*space)->free;
  document["total_bytes"] = (*space)->total;
  document["used_percent"] = 100 - 100.0 * static_cast<double>((*space)->free) / static_cast<double>((*space)->total);
  if (const auto left = days_left(samples, now)) document["days_left"] = *left;
  return document;
}

// Jobs that run in this process, and those that other processes have written into the journal as running.
json jobs_document(Engine& engine) {
  const JobQueue::Counts counts = engine.queue().counts();
  json document{{"queued", counts.queued}, {"running", counts.running}, {"elsewhere", nullptr}};
  if (engine.journal() == nullptr) return document;
  const auto others = engine.journal()->running_elsewhere();
  if (!others) return document;
  document["elsewhere"] = json::array();
  for (const JobRecord& record : *others)
    document["elsewhere"].push_back({{"id", record.id}, {"kind", to_string(record.kind)}, {"object", record.object}});
  return document;
}

}  // namespace

Result<json> status_document(const StatusSources& sources) {
  Engine& engine = sources.engine;
  const DaemonView& view = sources.daemon;
  const auto settings = engine.settings();
  CAIRN_TRY(const std::vector<PointName> points, engine.store().points().list());
  CAIRN_TRY(const std::vector<PointName> latest, engine.store().points().latest_of(points));
  json machines = json::array();
  TimedLook disks(kDisksMayTake);
  std::size_t without_proof = 0;
  for (const auto& [name, of] : by_machine(*settings, points, latest)) {
    machines.push_back(machine_row(sources, settings, disks, name, of));
    if (machines.back()["proof"]["wanting"] == true) ++without_proof;
  }
  CAIRN_TRY(json space, kept_space(engine.store()));
  const auto& journal_error = engine.journal_error();
  json verify = sources.verify.document(engine.store(), *settings, engine.clock().now());
  json store = store_document(sources, points.size(), verify);
  return json{{"version", CAIRN_VERSION},
              {"daemon", view.daemon ? view.daemon() : json{{"running", false}}},
              {"store", std::move(store)},
              {"verify", std::move(verify)},
              {"mount", view.mount ? view.mount() : mount_seen(settings->mount.path)},
              {"space", std::move(space)},
              {"clock", clock_document(engine)},
              {"guests_held", held_guests(*settings)},
              {"journal", {{"error", journal_error ? to_json(*journal_error) : json(nullptr)}}},
              {"jobs", jobs_document(engine)},
              {"machines_without_recent_proof", without_proof},
              {"machines", std::move(machines)}};
}

}  // namespace cairn
