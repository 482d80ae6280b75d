// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/point_catalog.h"

#include <algorithm>

#include "config/base/log.h"
#include "fs/store/point/point_file.h"

namespace cairn {

// Deletions are listed before points: a point that is purged meanwhile must not be seen as one that is not deleted.
Result<std::vector<PointName>> PointCatalog::list() {
  CAIRN_TRY(const auto deleted, marks().names_in(kDeletedPrefix));
  CAIRN_TRY(const auto stored, list_stored());
  std::vector<PointName> names;
  std::ranges::set_difference(stored, deleted, std::back_inserter(names));
  return names;
}

Result<std::vector<PointName>> PointCatalog::list_stored() {
  return marks().names_in(kPointsPrefix);
}

Result<std::vector<PointName>> PointCatalog::list_deleted() {
  CAIRN_TRY(const auto deleted, marks().names_in(kDeletedPrefix));
  CAIRN_TRY(const auto stored, list_stored());
  std::vector<PointName> names;
  std::ranges::set_intersection(stored, deleted, std::back_inserter(names));
  return names;
}

Result<std::vector<PointName>> PointCatalog::list_protected() {
  return marks().names_in(kProtectedPrefix);
}

Result<Deletion> PointCatalog::deletion_of(const PointName& name) {
  CAIRN_TRY(auto file, marks().deletion(name));
  if (!file) return fail(ErrorCode::point_not_deleted, "read deletion of", name.text());
  return std::move(file->deletion);
}

Result<std::optional<Protection>> PointCatalog::protection_of(const PointName& name) {
  return marks().protection(name);
}

Result<std::vector<Tombstone>> PointCatalog::tombstones() {
  const MarkFiles mark_files = marks();
  CAIRN_TRY(const auto deleted, mark_files.names_in(kDeletedPrefix));
  CAIRN_TRY(const auto stored, list_stored());
  CAIRN_TRY(auto names, mark_files.names_in(kPurgedPrefix));
  std::vector<Tombstone> found;
  // A point that is there is right: its tombstone is that of a purge which was cut short.
  const auto is_there = [&](const PointName& name) { return std::ranges::binary_search(stored, name); };
  for (const PointName& name : names) {
    if (is_there(name)) continue;
    CAIRN_TRY(auto tombstone, mark_files.tombstone(name));
    if (tombstone) found.push_back(*std::move(tombstone));
  }
  for (const PointName& name : deleted) {
    if (is_there(name) || std::ranges::binary_search(names, name)) continue;
    CAIRN_TRY(auto file, mark_files.deletion(name));
    if (file) found.push_back(std::move(file->facts));
  }
  std::ranges::sort(found, {}, &Tombstone::point);
  return found;
}

Result<std::optional<std::uint64_t>> PointCatalog::change_token() {
  CAIRN_TRY(const auto points, backend_.change_token(kPointsPrefix));
  CAIRN_TRY(const auto deleted, backend_.change_token(kDeletedPrefix));
  CAIRN_TRY(const auto newest, backend_.change_token(kNewestPrefix));
  if (!points || !deleted || !newest) return std::optional<std::uint64_t>();
  // They may change by the same step, so they are not simply added.
  constexpr std::uint64_t kSpread = 0x9e37'79b9'7f4a'7c15U;
  return std::optional((*points * kSpread + *deleted) * kSpread + *newest);
}

WrittenOrder PointCatalog::order_of(const std::string& machine) {
  auto newest = marks().newest(machine);
  if (!newest) log_error("newest-points-unreadable", machine, newest.error());  // a verify reports it
  return newest && *newest ? std::move((*newest)->order) : WrittenOrder();
}

Result<std::vector<PointName>> PointCatalog::list_written(const std::string& machine) {
  CAIRN_TRY(std::vector<PointName> names, list());
  std::erase_if(names, [&](const PointName& name) { return name.machine != machine; });
  if (names.size() < 2) return names;
  const WrittenOrder order = order_of(machine);
  std::ranges::sort(names, [&](const PointName& a, const PointName& b) { return order.before(a.time, b.time); });
  return names;
}

Result<std::optional<PointName>> PointCatalog::latest(const std::string& machine) {
  CAIRN_TRY(std::vector<PointName> names, list_written(machine));
  return names.empty() ? std::nullopt : std::optional(std::move(names.back()));
}

Result<std::vector<PointName>> PointCatalog::latest_of(const std::vector<PointName>& names) {
  CAIRN_TRY(const auto recorded, marks().machines_with_newest());
  std::vector<PointName> last;
  for (auto at = names.begin(); at != names.end();) {
    const auto end = std::find_if(at, names.end(), [&](const PointName& name) { return name.machine != at->machine; });
    const bool several = end - at > 1 && std::ranges::binary_search(recorded, at->machine);
    const WrittenOrder order = several ? order_of(at->machine) : WrittenOrder();
    last.push_back(*std::max_element(
        at, end, [&](const PointName& a, const PointName& b) { return order.before(a.time, b.time); }));
    at = end;
  }
  return last;
}

Result<std::set<UtcTime>> PointCatalog::used_times(const std::string& machine) {
  const MarkFiles mark_files = marks();
  std::set<UtcTime> times;
  for (const std::string_view prefix : {kPointsPrefix, kDeletedPrefix, kPurgedPrefix}) {
    CAIRN_TRY(const auto names, mark_files.names_in(prefix));
    for (const PointName& name : names)
      if (name.machine == machine) times.insert(name.time);
  }
  const auto newest = mark_files.newest(machine);
  // One that is damaged is made anew; one that cannot be read for the moment may name what must not be used.
  if (!newest && !is_damage_error(newest.error())) return pass_on(newest.error());
  if (!newest || !*newest) return times;
  times.insert((*newest)->gone.begin(), (*newest)->gone.end());
  for (const NewestPoints::Entry& entry : (*newest)->points)
    if (const auto name = PointName::parse(entry.point)) times.insert(name->time);
  return times;
}

Result<std::optional<ClockRecord>> PointCatalog::clock_record() {
  return marks().clock();
}

Result<ClockVerdict> PointCatalog::check_clock(const ClockReading& reading, bool accept) {
  auto record = clock_record();
  if (!record && record.error().code == ErrorCode::store_damaged) {
    if (!accept)
      return fail(ErrorCode::clock_jumped, "use", "the clock",
                  "what it said last cannot be read: " + record.error().message());
    record = std::optional<ClockRecord>();
  }
  if (!record) return pass_on(std::move(record).error());
  CAIRN_TRY(const auto points, list_stored());
  std::optional<UtcTime> newest;
  for (const PointName& point : points) newest = std::max(newest, std::optional(point.time));
  return judge_clock(*record, reading, newest, accept);
}

Result<Buffer> PointCatalog::read_file(const PointName& name) {
  auto bytes = backend_.get(point_object(name), kMaxPointBytes);
  if (!bytes && bytes.error().code == ErrorCode::object_missing)
    return fail(ErrorCode::point_missing, "read recovery point", name.text());
  if (!bytes && bytes.error().code == ErrorCode::store_damaged)
    return fail(ErrorCode::point_damaged, "read recovery point", name.text(), "its file is too large to be one");
  return bytes;
}

Result<std::unique_ptr<ObjectHold>> PointCatalog::hold(const PointName& name) {
  auto hold = backend_.hold(point_object(name));
  if (!hold && hold.error().code == ErrorCode::object_missing)
    return fail(ErrorCode::point_missing, "hold recovery point", name.text());
  return hold;
}

Result<RecoveryPoint> PointCatalog::load(const PointName& name) {
  CAIRN_TRY(const Buffer bytes, read_file(name));
  return open_point(bytes, name, seal_.keys, seal_.store, backend_.location() + "/" + point_object(name));
}

Result<std::string> PointCatalog::hash_of(const PointName& name) {
  CAIRN_TRY(const Buffer bytes, read_file(name));
  return Blake3::hex_of(bytes);
}

}  // namespace cairn
