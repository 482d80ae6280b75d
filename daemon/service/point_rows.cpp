// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/point_rows.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "daemon/queue/job_record.h"
#include "daemon/retention/known_machines.h"
#include "daemon/retention/prune_plan.h"
#include "fs/store/store.h"
#include "fs/store/verify/damage.h"

namespace cairn {
namespace {

using nlohmann::json;

json row_start(const PointName& name) {
  json row = name_members(name);
  row["time"] = iso_time(name.time);
  return row;
}

json make_row(const RecoveryPoint& point) {
  json row = row_start(point.name);
  bool encrypted = false;
  json disks = json::array();
  for (const DiskRecord& disk : point.disks) {
    encrypted = encrypted || disk.facts.encrypted();
    disks.push_back({{"name", disk.name},
                     {"size", disk.map.size},
                     {"consistency", to_string(disk.reading.consistency)},
                     {"consistency_reason", disk.reading.reason},
                     {"suspect", disk.suspicion ? json(disk.suspicion->because) : json(nullptr)},
                     {"encryption", to_string(disk.facts.encryption())},
                     {"not_known", disk.facts.not_known}});
  }
  row["suspect"] = point.suspect();
  row["apart_ms"] = point.apart_ms ? json(*point.apart_ms) : json(nullptr);
  row["guest"] = point.guest ? to_json(*point.guest) : json(nullptr);
  row["left_out"] = to_json(point.left_out);
  row["trusted_time"] = time_or_null(point.trusted_time);
  row["consistency"] = to_string(point.consistency);
  row["proof"] = to_string(point.proof.state);
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

}  // namespace

json name_members(const PointName& name) {
  return {{"machine", name.machine}, {"point", name.stamp()}, {"name", name.text()}};
}

json to_json(const Protection& protection) {
  return {{"since", iso_time(protection.since)}, {"until", time_or_null(protection.until)}};
}

const Policy* policy_for(const Settings& settings, const std::string& machine) {
  const auto found = settings.machines.find(machine);
  return found == settings.machines.end() ? nullptr : &settings.policy_of(found->second);
}

PointRows::PointRows(Store& store, const Clock& clock) : store_(store), clock_(clock) {}
PointRows::~PointRows() = default;

json PointRows::row_of(const PointName& name) {
  {
    const auto rows = rows_.lock();
    if (const auto known = rows->find(name); known != rows->end()) return *known->second;
  }
  const auto point = store_.points().load(name);
  if (!point) {
    // Not kept: it may be put right. One that cannot be read must not hide the others.
    json row = row_start(name);
    row["error"] = to_json(point.error());
    return row;
  }
  auto row = std::make_unique<const json>(make_row(*point));
  json copy = *row;
  (*rows_.lock())[name] = std::move(row);
  return copy;
}

json PointRows::row_of_point(const PointName& name) {
  json row = row_of(name);
  row["in_future"] = is_in_future(name.time, clock_.now());
  return row;
}

json PointRows::point_state(const PointName& name, const json& row, const WrittenOrder& order, bool is_protected,
                            PointsListed listed, const Settings& settings) {
  json state = json::object();
  state["in_future"] = is_in_future(name.time, clock_.now());
  state["protected"] = nullptr;
  if (is_protected) {
    const auto protection = store_.points().protection_of(name);
    if (!protection)
      state["protected"] = {{"since", nullptr}, {"until", nullptr}};
    else if (*protection && (!(*protection)->until || *(*protection)->until > clock_.now()))
      state["protected"] = to_json(**protection);
  }
  const auto time_in = [&](const char* member) -> std::optional<UtcTime> {
    const auto value = row.find(member);
    return value != row.end() && value->is_string() ? parse_iso_time(value->get<std::string>()) : std::nullopt;
  };
  const UtcTime taken = taken_at(name, time_in("trusted_time"), order.written_by(name.time), clock_.now());
  const auto until = immutable_until(taken, time_in("immutable_until"), policy_for(settings, name.machine));
  state["immutable_until"] = until && *until > clock_.now() ? json(iso_time(*until)) : json(nullptr);
  if (listed == PointsListed::deleted) {
    const auto deletion = store_.points().deletion_of(name);
    if (deletion)
      state["deleted"] = {{"time", iso_time(deletion->deleted)},
                          {"purge_after", iso_time(deletion->purge_after)},
                          {"because", deletion->because}};
    else
      state["deleted"] = {{"time", nullptr}, {"purge_after", nullptr}, {"because", deletion.error().message()}};
  }
  return state;
}

Result<json> PointRows::list(const std::optional<std::string>& machine, PointsListed listed, const Settings& settings) {
  CAIRN_TRY(const std::vector<PointName> stored, store_.points().list_stored());
  CAIRN_TRY(std::vector<PointName> names,
            listed == PointsListed::deleted ? store_.points().list_deleted() : store_.points().list());
  CAIRN_TRY(const std::vector<PointName> kept, store_.points().list_protected());
  // What verifying found and nothing has repaired yet. A record of it that cannot be read: not known.
  std::map<PointName, std::uint64_t> damaged;
  const auto damage = load_damage(store_);
  if (damage)
    for (const PointDamage& of : damage->points)
      for (const DiskDamage& disk : of.disks) damaged[of.point] += disk.bytes;
  const std::set<PointName> present(stored.begin(), stored.end());
  std::erase_if(*rows_.lock(), [&](const auto& entry) { return !present.contains(entry.first); });
  if (machine) {
    CAIRN_CHECK(check_known_machine("list recovery points of", *machine, settings, stored));
    std::erase_if(names, [&](const PointName& name) { return name.machine != *machine; });
  }
  std::sort(names.begin(), names.end(), [](const PointName& a, const PointName& b) {
    return std::pair(a.time, a.machine) < std::pair(b.time, b.machine);
  });
  json rows = json::array();
  std::map<std::string, WrittenOrder> orders;
  for (const PointName& name : names) {
    if (!orders.contains(name.machine)) orders[name.machine] = store_.points().order_of(name.machine);
    json row = row_of(name);
    // Removed since it was listed.
    if (const auto error = row.find("error"); error != row.end())
      if ((*error)["name"] == catalogue_entry(ErrorCode::point_missing).name) continue;
    const auto of = damaged.find(name);
    row["damaged_bytes"] = damage ? json(of == damaged.end() ? 0 : of->second) : json(nullptr);
    row.update(point_state(name, row, orders[name.machine], std::ranges::binary_search(kept, name), listed, settings));
    rows.push_back(std::move(row));
  }
  return rows;
}

std::function<std::optional<json>()> PointRows::newest(std::vector<PointName> points) {
  return [this, points = std::move(points)]() mutable -> std::optional<json> {
    if (points.empty()) return std::nullopt;
    const PointName name = std::move(points.back());
    points.pop_back();
    return row_of(name);
  };
}

}  // namespace cairn
