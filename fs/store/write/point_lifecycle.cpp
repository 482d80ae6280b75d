// SPDX-License-Identifier: GPL-3.0-or-later
// Points that are hidden, protected, and removed for good. Each change is one step that a crash leaves done or not
// done, in an order in which what is half done can be told from what is in points/, which is always right:
//   delete    deleted/NAME is put
//   undelete  deleted/NAME is removed
//   purge     purged/NAME is put, points/NAME is removed, deleted/NAME and protected/NAME are removed
#include "fs/store/point/point_marks.h"

#include <algorithm>
#include <map>
#include <set>

#include "config/base/log.h"
#include "fs/store/point/mark_files.h"
#include "fs/store/point/point_file.h"
#include "fs/store/write/writer_core.h"

namespace cairn {
namespace {

constexpr std::string_view kPoints = "points/";
constexpr std::string_view kDeleted = "deleted/";
constexpr std::string_view kProtected = "protected/";
constexpr std::string_view kPurged = "purged/";

std::unexpected<Error> missing(const char* doing, const PointName& name) {
  return fail(ErrorCode::point_missing, doing, name.text());
}

// Both are known, and are not the same file's.
bool is_other(const std::string& hash, const std::string& of) {
  return !hash.empty() && !of.empty() && hash != of;
}

}  // namespace

// --- the newest points

void NewestPoints::add(Entry added, const std::string& previous) {
  std::erase_if(points, [&](const Entry& entry) { return entry.point == previous || entry.point == added.point; });
  points.push_back(std::move(added));
}

bool NewestPoints::take_over(const Tombstone& stone) {
  const std::string name = stone.point.text();
  if (std::erase_if(points, [&](const Entry& entry) { return entry.point == name; }) == 0) return false;
  const auto known = std::ranges::find(points, stone.previous_name, &Entry::point);
  if (!stone.previous_name.empty() && known == points.end()) points.push_back({stone.previous_name, stone.previous});
  return true;
}

// --- reading

// Marks are listed before points: a point that is purged meanwhile must not be seen as one that is not deleted.
Result<std::vector<PointName>> Store::list_points() {
  CAIRN_TRY(const auto deleted, state_->marks().names_in(kDeleted));
  CAIRN_TRY(const auto stored, list_stored_points());
  std::vector<PointName> names;
  std::ranges::set_difference(stored, deleted, std::back_inserter(names));
  return names;
}

Result<std::vector<PointName>> Store::list_stored_points() {
  return state_->marks().names_in(kPoints);
}

Result<std::vector<PointName>> Store::list_deleted_points() {
  CAIRN_TRY(const auto deleted, state_->marks().names_in(kDeleted));
  CAIRN_TRY(const auto stored, list_stored_points());
  std::vector<PointName> names;
  std::ranges::set_intersection(stored, deleted, std::back_inserter(names));
  return names;
}

Result<std::vector<PointName>> Store::list_protected_points() {
  return state_->marks().names_in(kProtected);
}

Result<Deletion> Store::deletion_of(const PointName& name) {
  CAIRN_TRY(auto file, state_->marks().deletion(name));
  if (!file) return fail(ErrorCode::point_not_deleted, "read deletion of", name.text());
  return std::move(file->deletion);
}

Result<std::optional<Protection>> Store::protection_of(const PointName& name) {
  return state_->marks().protection(name);
}

Result<std::vector<Tombstone>> Store::tombstones() {
  const MarkFiles marks = state_->marks();
  CAIRN_TRY(const auto deleted, marks.names_in(kDeleted));
  CAIRN_TRY(const auto stored, list_stored_points());
  CAIRN_TRY(auto names, marks.names_in(kPurged));
  std::vector<Tombstone> found;
  // A point that is there is right: its tombstone is that of a purge which was cut short.
  const auto is_there = [&](const PointName& name) { return std::ranges::binary_search(stored, name); };
  for (const PointName& name : names) {
    if (is_there(name)) continue;
    CAIRN_TRY(auto tombstone, marks.tombstone(name));
    if (tombstone) found.push_back(*std::move(tombstone));
  }
  for (const PointName& name : deleted) {
    if (is_there(name) || std::ranges::binary_search(names, name)) continue;
    CAIRN_TRY(auto file, marks.deletion(name));
    if (file) found.push_back(std::move(file->facts));
  }
  std::ranges::sort(found, {}, &Tombstone::point);
  return found;
}

Result<std::optional<std::uint64_t>> Store::points_token() {
  CAIRN_TRY(const auto points, state_->backend->change_token(kPoints));
  CAIRN_TRY(const auto deleted, state_->backend->change_token(kDeleted));
  if (!points || !deleted) return std::optional<std::uint64_t>();
  // Both may change by the same step, so they are not simply added.
  return std::optional(*points * 0x9e37'79b9'7f4a'7c15U + *deleted);
}

Result<std::optional<ClockRecord>> Store::clock_record() {
  return state_->marks().clock();
}

Result<ClockVerdict> Store::check_clock(const ClockReading& reading, bool accept) {
  auto record = clock_record();
  if (!record && record.error().code == ErrorCode::store_damaged) {
    if (!accept)
      return fail(ErrorCode::clock_jumped, "use", "the clock",
                  "what it said last cannot be read: " + record.error().message());
    record = std::optional<ClockRecord>();
  }
  if (!record) return pass_on(std::move(record).error());
  CAIRN_TRY(const auto points, list_stored_points());
  std::optional<UtcTime> newest;
  for (const PointName& point : points) newest = std::max(newest, std::optional(point.time));
  return judge_clock(*record, reading, newest, accept);
}

Result<bool> Store::garbage_waiting() {
  CAIRN_TRY(const auto index, state_->index());
  return index->has_retired(Retired::unneeded);
}

// --- changing

Result<Tombstone> StoreWriter::State::facts_of(const PointName& name) {
  CAIRN_TRY(const Buffer bytes, store.read_point_file(name));
  Tombstone facts;
  facts.point = name;
  facts.hash = Blake3::hex_of(bytes);
  const auto point = open_point(bytes, name, store.keys, store.document.id, point_object(name));
  if (point) {
    facts.previous_name = point->previous_name;
    facts.previous = point->previous;
    return facts;
  }
  if (point.error().code != ErrorCode::point_damaged) return pass_on(point.error());
  // What its successor names is the file as it was. Before it was the nearest that is known of.
  facts.hash.clear();
  const MarkFiles marks = store.marks();
  CAIRN_TRY(auto known, marks.names_in(kPoints));
  CAIRN_TRY(const auto purged, marks.names_in(kPurged));
  known.insert(known.end(), purged.begin(), purged.end());
  if (const auto before = newest_before(name, known)) facts.previous_name = before->text();
  return facts;
}

// Of a damaged point nobody can say that it is immutable; it may go, so that what it hides can be given up.
Result<void> StoreWriter::State::check_removable(const char* doing, const PointName& name, UtcTime trusted) {
  CAIRN_TRY(const Buffer bytes, store.read_point_file(name));
  const auto point = open_point(bytes, name, store.keys, store.document.id, point_object(name));
  if (point && point->immutable_until && *point->immutable_until > trusted)
    return fail(ErrorCode::point_immutable, doing, name.text(),
                "it is immutable until " + iso_time(*point->immutable_until));
  CAIRN_TRY(const auto protection, store.marks().protection(name));
  if (protection && (!protection->until || *protection->until > trusted))
    return fail(ErrorCode::point_protected, doing, name.text(),
                protection->until ? "it is protected until " + iso_time(*protection->until)
                                  : "it is protected, without an end");
  return {};
}

Result<bool> StoreWriter::State::finish_purge(const PointName& name) {
  const MarkFiles marks = store.marks();
  CAIRN_TRY(const auto purged, marks.names_in(kPurged));
  bool recorded = std::ranges::binary_search(purged, name);
  const auto deletion = marks.deletion(name);
  if (!deletion && deletion.error().code != ErrorCode::store_damaged) return pass_on(deletion.error());
  if (!recorded && deletion && *deletion) {
    CAIRN_CHECK(marks.write((*deletion)->facts));
    recorded = true;
  }
  CAIRN_CHECK(marks.remove(deletion_object(name)));
  CAIRN_CHECK(marks.remove(protection_object(name)));
  if (recorded) CAIRN_CHECK(fold_tombstones(name.machine));
  return recorded;
}

Result<void> StoreWriter::State::fold_tombstones(const std::string& machine) {
  const MarkFiles marks = store.marks();
  CAIRN_TRY(const auto purged, marks.names_in(kPurged));
  std::map<std::string, Tombstone> stones;  // names of one machine sort by time
  for (const PointName& name : purged) {
    if (name.machine != machine) continue;
    auto stone = marks.tombstone(name);
    if (!stone) {
      // What it takes over is not known, so nothing may go.
      log_error("tombstone-unreadable", name.text(), stone.error());
      return {};
    }
    if (*stone) stones.emplace(name.text(), **std::move(stone));
  }
  if (stones.empty()) return {};
  auto newest = marks.newest(machine);
  if (!newest) {
    log_error("newest-points-unreadable", machine, newest.error());  // it may name any of them
    return {};
  }

  CAIRN_TRY(const auto stored, marks.names_in(kPoints));
  std::set<std::string> named;              // by a point that is there
  std::optional<PointName> newest_unknown;  // of the points that cannot be read
  for (const PointName& name : stored) {
    if (name.machine != machine) continue;
    auto known = store.previous_names.find(name);
    if (known == store.previous_names.end()) {
      const auto bytes = store.read_point_file(name);
      if (!bytes && bytes.error().code != ErrorCode::point_damaged) return pass_on(bytes.error());
      const auto point = bytes ? open_point(*bytes, name, store.keys, store.document.id, point_object(name))
                               : Result<RecoveryPoint>(pass_on(bytes.error()));
      if (!point) {
        newest_unknown = std::max(newest_unknown, std::optional(name));
        continue;
      }
      known = store.previous_names.emplace(name, point->previous_name).first;
    }
    named.insert(known->second);
  }

  for (auto at = stones.begin(); at != stones.end();) {
    const Tombstone stone = at->second;
    // Who names it is younger.
    const bool doubtful = newest_unknown && stone.point < *newest_unknown;
    bool differs = false;
    std::vector<Tombstone*> heirs;
    for (auto& [name, other] : stones) {
      if (other.previous_name != at->first) continue;
      heirs.push_back(&other);
      differs = differs || is_other(other.previous, stone.hash);
    }
    if (*newest)
      for (const NewestPoints::Entry& entry : (*newest)->points)
        differs = differs || (entry.point == at->first && is_other(entry.hash, stone.hash));
    if (doubtful || differs || named.contains(at->first)) {
      ++at;
      continue;
    }
    // What takes over first, then what is taken over: at every instant the chain is explained.
    for (Tombstone* heir : heirs) {
      heir->previous_name = stone.previous_name;
      heir->previous = stone.previous;
      CAIRN_CHECK(marks.write(*heir));
    }
    if (*newest && (*newest)->take_over(stone)) CAIRN_CHECK(marks.write(**newest));
    CAIRN_CHECK(marks.remove(tombstone_object(stone.point)));
    at = stones.erase(at);
  }
  return {};
}

Result<void> StoreWriter::delete_point(const Deletion& deletion, UtcTime trusted) {
  constexpr const char* kDoing = "delete recovery point";
  const PointName& name = deletion.point;
  Store::State& store = state_->store;
  const std::lock_guard lock(store.marks_mutex);
  const MarkFiles marks = store.marks();
  auto facts = state_->facts_of(name);
  if (!facts && facts.error().code == ErrorCode::point_missing) {
    CAIRN_CHECK(state_->finish_purge(name));
    return missing(kDoing, name);
  }
  if (!facts) return pass_on(std::move(facts).error());
  CAIRN_TRY(const auto deleted, marks.names_in(kDeleted));
  if (std::ranges::binary_search(deleted, name)) return {};
  CAIRN_CHECK(state_->check_removable(kDoing, name, trusted));
  facts->purged = deletion.deleted;
  facts->because = deletion.because;
  return marks.write(DeletionFile{deletion, *std::move(facts)});
}

Result<void> StoreWriter::undelete_point(const PointName& name) {
  constexpr const char* kDoing = "bring back recovery point";
  Store::State& store = state_->store;
  const std::lock_guard lock(store.marks_mutex);
  const MarkFiles marks = store.marks();
  CAIRN_TRY(const auto deleted, marks.names_in(kDeleted));
  if (!std::ranges::binary_search(deleted, name)) return fail(ErrorCode::point_not_deleted, kDoing, name.text());
  CAIRN_TRY(const auto stored, marks.names_in(kPoints));
  if (!std::ranges::binary_search(stored, name)) {
    CAIRN_CHECK(state_->finish_purge(name));
    return missing(kDoing, name);
  }
  return marks.remove(deletion_object(name));
}

Result<void> StoreWriter::protect_point(const Protection& protection) {
  constexpr const char* kDoing = "protect recovery point";
  const PointName& name = protection.point;
  const std::lock_guard lock(state_->store.marks_mutex);
  const MarkFiles marks = state_->store.marks();
  CAIRN_TRY(const auto deleted, marks.names_in(kDeleted));
  CAIRN_TRY(const auto stored, marks.names_in(kPoints));
  if (!std::ranges::binary_search(stored, name)) return missing(kDoing, name);
  if (std::ranges::binary_search(deleted, name)) return fail(ErrorCode::point_deleted, kDoing, name.text());
  return marks.write(protection);
}

Result<void> StoreWriter::unprotect_point(const PointName& name) {
  const std::lock_guard lock(state_->store.marks_mutex);
  return state_->store.marks().remove(protection_object(name));
}

Result<void> StoreWriter::purge_point(const PointName& name, const std::string& because, UtcTime now, UtcTime trusted) {
  constexpr const char* kDoing = "remove recovery point";
  Store::State& store = state_->store;
  const std::lock_guard lock(store.marks_mutex);
  const MarkFiles marks = store.marks();
  auto facts = state_->facts_of(name);
  if (!facts && facts.error().code == ErrorCode::point_missing) {
    CAIRN_TRY(const bool recorded, state_->finish_purge(name));
    return recorded ? Result<void>() : Result<void>(missing(kDoing, name));
  }
  if (!facts) return pass_on(std::move(facts).error());
  CAIRN_CHECK(state_->check_removable(kDoing, name, trusted));
  facts->purged = now;
  facts->because = because;
  auto written = marks.write(*facts);
  if (!written && written.error().code == ErrorCode::no_space) {
    // The deletion explains as much. The point's file gives back the space that its tombstone then needs.
    const auto deletion = marks.deletion(name);
    if (deletion && *deletion) written = {};
  }
  CAIRN_CHECK(std::move(written));
  CAIRN_TRY(const bool removed, store.backend->remove_unless_held(point_object(name)));
  if (!removed) {
    CAIRN_CHECK(marks.remove(tombstone_object(name)));
    return fail(ErrorCode::point_in_use, kDoing, name.text());
  }
  store.previous_names.erase(name);
  auto finished = state_->finish_purge(name);
  // The point is gone and that is recorded; the rest is the next call's, when there is space.
  if (!finished && finished.error().code != ErrorCode::no_space) return pass_on(std::move(finished).error());
  return {};
}

Result<void> StoreWriter::settle_marks() {
  const std::lock_guard lock(state_->store.marks_mutex);
  const MarkFiles marks = state_->store.marks();
  CAIRN_TRY(const auto stored, marks.names_in(kPoints));
  CAIRN_TRY(const auto deleted, marks.names_in(kDeleted));
  CAIRN_TRY(const auto kept, marks.names_in(kProtected));
  CAIRN_TRY(const auto purged, marks.names_in(kPurged));
  std::set<PointName> gone;
  std::ranges::set_difference(deleted, stored, std::inserter(gone, gone.end()));
  std::ranges::set_difference(kept, stored, std::inserter(gone, gone.end()));
  for (const PointName& name : gone) CAIRN_CHECK(state_->finish_purge(name));
  std::vector<PointName> back;
  std::ranges::set_intersection(purged, stored, std::back_inserter(back));
  for (const PointName& name : back) CAIRN_CHECK(marks.remove(tombstone_object(name)));
  std::set<std::string> machines;
  for (const PointName& name : purged) machines.insert(name.machine);
  for (const std::string& machine : machines) CAIRN_CHECK(state_->fold_tombstones(machine));
  return {};
}

Result<void> StoreWriter::keep_clock(const ClockRecord& record) {
  const std::lock_guard lock(state_->store.marks_mutex);
  return state_->store.marks().write(record);
}

}  // namespace cairn
