// SPDX-License-Identifier: GPL-3.0-or-later
// Points that are hidden, protected, and removed for good. Each change is one step that a crash leaves done or not
// done, in an order in which what is in points/ is always right, and shows what is half done:
//   delete    deleted/NAME is put
//   undelete  deleted/NAME is removed
//   purge     purged/NAME is put, points/NAME is removed, deleted/NAME and protected/NAME are removed
#include "fs/store/write/point_lifecycle.h"

#include <algorithm>
#include <map>
#include <set>

#include "config/base/log.h"
#include "fs/store/point/mark_files.h"
#include "fs/store/point/point_file.h"
#include "fs/store/write/store_writer.h"
#include "fs/store/write/writer_core.h"

namespace cairn {
namespace {

std::unexpected<Error> missing(const char* doing, const PointName& name) {
  return fail(ErrorCode::point_missing, doing, name.text());
}

// Both are known, and are not the same file's.
bool is_other(const std::string& hash, const std::string& of) {
  return !hash.empty() && !of.empty() && hash != of;
}

// --- all with store.point_changes locked

// What a tombstone of the point would say, from its file. Of a damaged one as much as can be known.
// Errors: point_missing, io_error.
Result<Tombstone> facts_of(StoreState& store, const PointName& name) {
  CAIRN_TRY(const Buffer bytes, store.points.read_file(name));
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
  const MarkFiles marks = store.points.marks();
  CAIRN_TRY(auto known, marks.names_in(kPointsPrefix));
  CAIRN_TRY(const auto purged, marks.names_in(kPurgedPrefix));
  known.insert(known.end(), purged.begin(), purged.end());
  if (const auto before = newest_before(name, known)) facts.previous_name = before->text();
  return facts;
}

// Of a damaged point nobody can say that it is immutable; it may go, so that what it hides can be given up.
Result<void> check_removable(StoreState& store, const char* doing, const PointName& name, UtcTime trusted) {
  CAIRN_TRY(const Buffer bytes, store.points.read_file(name));
  const auto point = open_point(bytes, name, store.keys, store.document.id, point_object(name));
  if (point && point->immutable_until && *point->immutable_until > trusted)
    return fail(ErrorCode::point_immutable, doing, name.text(),
                "it is immutable until " + iso_time(*point->immutable_until));
  CAIRN_TRY(const auto protection, store.points.marks().protection(name));
  if (protection && (!protection->until || *protection->until > trusted))
    return fail(ErrorCode::point_protected, doing, name.text(),
                protection->until ? "it is protected until " + iso_time(*protection->until)
                                  : "it is protected, without an end");
  return {};
}

// Counts a change that was made. The change itself is done: what cannot be counted is not seen by a host that compares
// the store with what it was, and no more.
void count_change(StoreState& store, const PointName& name) {
  const MarkFiles marks = store.points.marks();
  auto newest = marks.newest(name.machine);
  if (newest) {
    NewestPoints counted = *newest ? **newest : NewestPoints{name.machine, {}};
    counted.count_change(change_id());
    const auto written = marks.write(counted);
    if (written) return;
    newest = pass_on(written.error());
  }
  log_error("change-not-counted", name.text(), newest.error());
}

// Removes tombstones that explain nothing any more; see point_marks.h.
Result<void> fold_tombstones(StoreState& store, StoreState::PointChanges& changes, const std::string& machine) {
  const MarkFiles marks = store.points.marks();
  CAIRN_TRY(const auto purged, marks.names_in(kPurgedPrefix));
  std::map<std::string, Tombstone> tombstones;  // names of one machine sort by time
  for (const PointName& name : purged) {
    if (name.machine != machine) continue;
    auto tombstone = marks.tombstone(name);
    if (!tombstone) {
      // What it takes over is not known, so nothing may go.
      log_error("tombstone-unreadable", name.text(), tombstone.error());
      return {};
    }
    if (*tombstone) tombstones.emplace(name.text(), **std::move(tombstone));
  }
  if (tombstones.empty()) return {};
  auto newest = marks.newest(machine);
  if (!newest) {
    log_error("newest-points-unreadable", machine, newest.error());  // it may name any of them
    return {};
  }

  CAIRN_TRY(const auto stored, marks.names_in(kPointsPrefix));
  std::set<std::string> named;              // by a point that is there
  std::optional<PointName> newest_unknown;  // of the points that cannot be read
  for (const PointName& name : stored) {
    if (name.machine != machine) continue;
    auto known = changes.previous_names.find(name);
    if (known == changes.previous_names.end()) {
      const auto bytes = store.points.read_file(name);
      if (!bytes && bytes.error().code != ErrorCode::point_damaged) return pass_on(bytes.error());
      const auto point = bytes ? open_point(*bytes, name, store.keys, store.document.id, point_object(name))
                               : Result<RecoveryPoint>(pass_on(bytes.error()));
      if (!point) {
        newest_unknown = std::max(newest_unknown, std::optional(name));
        continue;
      }
      known = changes.previous_names.emplace(name, point->previous_name).first;
    }
    named.insert(known->second);
  }

  for (auto at = tombstones.begin(); at != tombstones.end();) {
    const Tombstone tombstone = at->second;
    // Who names it is younger.
    const bool doubtful = newest_unknown && tombstone.point < *newest_unknown;
    bool differs = false;
    std::vector<Tombstone*> successors;
    for (auto& [name, other] : tombstones) {
      if (other.previous_name != at->first) continue;
      successors.push_back(&other);
      differs = differs || is_other(other.previous, tombstone.hash);
    }
    if (*newest)
      for (const NewestPoints::Entry& entry : (*newest)->points)
        differs = differs || (entry.point == at->first && is_other(entry.hash, tombstone.hash));
    if (doubtful || differs || named.contains(at->first)) {
      ++at;
      continue;
    }
    // What takes over first, then what is taken over: at every instant the chain is explained.
    for (Tombstone* successor : successors) {
      successor->previous_name = tombstone.previous_name;
      successor->previous = tombstone.previous;
      CAIRN_CHECK(marks.write(*successor));
    }
    if (!*newest) {
      *newest = NewestPoints{machine, {}};
      (*newest)->count_change(change_id());
    }
    (*newest)->take_over(tombstone);
    (*newest)->remember(tombstone);
    (*newest)->note_purged(at->first);
    CAIRN_CHECK(marks.write(**newest));
    CAIRN_CHECK(marks.remove(tombstone_object(tombstone.point)));
    at = tombstones.erase(at);
  }
  return {};
}

// The point's file is gone: makes a tombstone of its deletion, if that is all there is, and removes its other state.
// False: nothing is recorded about it.
Result<bool> finish_purge(StoreState& store, StoreState::PointChanges& changes, const PointName& name) {
  const MarkFiles marks = store.points.marks();
  CAIRN_TRY(const auto purged, marks.names_in(kPurgedPrefix));
  bool recorded = std::ranges::binary_search(purged, name);
  const auto deletion = marks.deletion(name);
  if (!deletion && deletion.error().code != ErrorCode::store_damaged) return pass_on(deletion.error());
  if (!recorded && deletion && *deletion) {
    CAIRN_CHECK(marks.write((*deletion)->facts));
    recorded = true;
  }
  CAIRN_CHECK(marks.remove(deletion_object(name)));
  CAIRN_CHECK(marks.remove(protection_object(name)));
  if (recorded) CAIRN_CHECK(fold_tombstones(store, changes, name.machine));
  return recorded;
}

Result<void> purge(StoreState& store, StoreState::PointChanges& changes, const PointName& name,
                   const std::string& because, UtcTime now, UtcTime trusted) {
  constexpr const char* kDoing = "remove recovery point";
  const MarkFiles marks = store.points.marks();
  auto facts = facts_of(store, name);
  if (!facts && facts.error().code == ErrorCode::point_missing) {
    CAIRN_TRY(const bool recorded, finish_purge(store, changes, name));
    return recorded ? Result<void>() : Result<void>(missing(kDoing, name));
  }
  if (!facts) return pass_on(std::move(facts).error());
  CAIRN_CHECK(check_removable(store, kDoing, name, trusted));
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
  changes.previous_names.erase(name);
  auto finished = finish_purge(store, changes, name);
  count_change(store, name);
  // The point is gone and that is recorded; the rest is the next call's, when there is space.
  if (!finished && finished.error().code != ErrorCode::no_space) return pass_on(std::move(finished).error());
  return {};
}

}  // namespace

Result<void> delete_point(StoreWriter& writer, const Deletion& deletion, UtcTime trusted) {
  StoreState& store = writer.core().store;
  constexpr const char* kDoing = "delete recovery point";
  const PointName& name = deletion.point;
  const auto changes = store.point_changes.lock();
  const MarkFiles marks = store.points.marks();
  auto facts = facts_of(store, name);
  if (!facts && facts.error().code == ErrorCode::point_missing) {
    CAIRN_CHECK(finish_purge(store, *changes, name));
    return missing(kDoing, name);
  }
  if (!facts) return pass_on(std::move(facts).error());
  CAIRN_TRY(const auto deleted, marks.names_in(kDeletedPrefix));
  if (std::ranges::binary_search(deleted, name)) return {};
  CAIRN_CHECK(check_removable(store, kDoing, name, trusted));
  facts->purged = deletion.deleted;
  facts->because = deletion.because;
  CAIRN_CHECK(marks.write(DeletionFile{deletion, *std::move(facts)}));
  count_change(store, name);
  return {};
}

Result<void> undelete_point(StoreWriter& writer, const PointName& name) {
  StoreState& store = writer.core().store;
  constexpr const char* kDoing = "bring back recovery point";
  const auto changes = store.point_changes.lock();
  const MarkFiles marks = store.points.marks();
  CAIRN_TRY(const auto deleted, marks.names_in(kDeletedPrefix));
  if (!std::ranges::binary_search(deleted, name)) return fail(ErrorCode::point_not_deleted, kDoing, name.text());
  CAIRN_TRY(const auto stored, marks.names_in(kPointsPrefix));
  if (!std::ranges::binary_search(stored, name)) {
    CAIRN_CHECK(finish_purge(store, *changes, name));
    return missing(kDoing, name);
  }
  CAIRN_CHECK(marks.remove(deletion_object(name)));
  count_change(store, name);
  return {};
}

Result<void> protect_point(StoreWriter& writer, const Protection& protection) {
  StoreState& store = writer.core().store;
  constexpr const char* kDoing = "protect recovery point";
  const PointName& name = protection.point;
  const auto changes = store.point_changes.lock();
  const MarkFiles marks = store.points.marks();
  CAIRN_TRY(const auto deleted, marks.names_in(kDeletedPrefix));
  CAIRN_TRY(const auto stored, marks.names_in(kPointsPrefix));
  if (!std::ranges::binary_search(stored, name)) return missing(kDoing, name);
  if (std::ranges::binary_search(deleted, name)) return fail(ErrorCode::point_deleted, kDoing, name.text());
  CAIRN_CHECK(marks.write(protection));
  count_change(store, name);
  return {};
}

Result<void> unprotect_point(StoreWriter& writer, const PointName& name) {
  StoreState& store = writer.core().store;
  const auto changes = store.point_changes.lock();
  const MarkFiles marks = store.points.marks();
  auto protection = marks.protection(name);
  if (!protection && !is_damage_error(protection.error())) return pass_on(std::move(protection).error());
  if (protection && !*protection) return {};
  // Of one that cannot be read nothing is to be kept.
  Protection ended = protection ? **protection : Protection{name, kProtectionEnded, {}};
  if (ended.until == kProtectionEnded) return {};
  ended.until = kProtectionEnded;
  auto written = marks.write(ended);
  // On a full disk it must still end, so that room can be made; a host that remembers it will say that it is gone.
  if (!written && written.error().code == ErrorCode::no_space) written = marks.remove(protection_object(name));
  CAIRN_CHECK(std::move(written));
  count_change(store, name);
  return {};
}

Result<void> purge_point(StoreWriter& writer, const PointName& name, const std::string& because, UtcTime now,
                         UtcTime trusted) {
  StoreState& store = writer.core().store;
  const auto changes = store.point_changes.lock();
  return purge(store, *changes, name, because, now, trusted);
}

Result<void> purge_deleted_point(StoreWriter& writer, const PointName& name, UtcTime now, UtcTime trusted) {
  StoreState& store = writer.core().store;
  const auto changes = store.point_changes.lock();
  CAIRN_TRY(const auto file, store.points.marks().deletion(name));
  // Without both the point is gone, which purge() tells and finishes.
  CAIRN_TRY(const auto stored, store.points.marks().names_in(kPointsPrefix));
  if (std::ranges::binary_search(stored, name) && (!file || file->deletion.purge_after > now))
    return fail(ErrorCode::point_not_deleted, "remove recovery point", name.text(),
                file ? "it is to be kept until " + iso_time(file->deletion.purge_after) : "somebody brought it back");
  return purge(store, *changes, name, "deleted", now, trusted);
}

Result<void> settle_marks(StoreWriter& writer) {
  StoreState& store = writer.core().store;
  const auto changes = store.point_changes.lock();
  const MarkFiles marks = store.points.marks();
  CAIRN_TRY(const auto stored, marks.names_in(kPointsPrefix));
  CAIRN_TRY(const auto deleted, marks.names_in(kDeletedPrefix));
  CAIRN_TRY(const auto kept, marks.names_in(kProtectedPrefix));
  CAIRN_TRY(const auto purged, marks.names_in(kPurgedPrefix));
  std::set<PointName> gone;
  std::ranges::set_difference(deleted, stored, std::inserter(gone, gone.end()));
  std::ranges::set_difference(kept, stored, std::inserter(gone, gone.end()));
  for (const PointName& name : gone) CAIRN_CHECK(finish_purge(store, *changes, name));
  std::vector<PointName> back;
  std::ranges::set_intersection(purged, stored, std::back_inserter(back));
  for (const PointName& name : back) CAIRN_CHECK(marks.remove(tombstone_object(name)));
  std::set<std::string> machines;
  for (const PointName& name : purged) machines.insert(name.machine);
  for (const std::string& machine : machines) CAIRN_CHECK(fold_tombstones(store, *changes, machine));
  return {};
}

Result<void> keep_clock(StoreWriter& writer, const ClockRecord& record) {
  StoreState& store = writer.core().store;
  const auto changes = store.point_changes.lock();
  return store.points.marks().write(record);
}

Result<void> remove_point(StoreWriter& writer, const PointName& name) {
  auto removed = writer.core().store.backend->remove(point_object(name));
  if (!removed && removed.error().code == ErrorCode::object_missing)
    return fail(ErrorCode::point_missing, "remove recovery point", name.text());
  return removed;
}

}  // namespace cairn
