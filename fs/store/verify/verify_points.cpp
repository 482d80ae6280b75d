// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/verify/verify_points.h"

#include <algorithm>
#include <map>

#include "config/base/error.h"
#include "fs/store/point/mark_files.h"
#include "fs/store/point/point_file.h"
#include "fs/store/store.h"
#include "fs/store/store_state.h"

namespace cairn {

std::vector<PointGap> find_gaps(const std::vector<PointLink>& links, const std::vector<PointFile>& files) {
  std::map<std::string, std::vector<const PointFile*>> by_name;
  for (const PointFile& file : files) by_name[file.point].push_back(&file);
  std::vector<PointGap> gaps;
  for (const PointLink& link : links) {
    if (link.previous.empty()) continue;
    const auto there = by_name.find(link.previous);
    if (there == by_name.end()) {
      gaps.push_back({link.point, link.previous, link.previous_hash, kPointFileMissing});
      continue;
    }
    const bool fits = std::ranges::any_of(there->second, [&](const PointFile* file) {
      return file->hash.empty() || link.previous_hash.empty() || file->hash == link.previous_hash;
    });
    if (!fits) gaps.push_back({link.point, link.previous, link.previous_hash, kPointFileOther});
  }
  return gaps;
}

namespace {

// The same missing point, whatever names it: a point that was the newest when it went missing is also named by the
// next.
bool is_same(const PointGap& gap, const PointGap& other) {
  return gap.missing == other.missing && gap.hash == other.hash;
}

// False: the gap is a newest point that was purged after its record was read. The record names another point by now,
// and only after that the tombstone may be gone.
bool is_still_named(const MarkFiles& marks, const PointGap& gap) {
  const auto name = PointName::parse(gap.missing);
  if (!name || gap.after != newest_object(name->machine)) return true;
  const auto newest = marks.newest(name->machine);
  return newest && *newest && std::ranges::count((*newest)->points, NewestPoints::Entry{gap.missing, gap.hash}) > 0;
}

}  // namespace

Result<PointsFound> look_at_points(Store& store, const Damage& known, bool accept) {
  StoreState& state = store.state();
  PointsFound found;
  const auto note = [&](const auto& outcome) {
    if (outcome || outcome.error().code == ErrorCode::point_not_deleted) return;
    (is_damage_error(outcome.error()) ? found.documents : found.unreadable).push_back(outcome.error().message());
  };
  // The record of the newest points is read before points are listed: a point committed meanwhile is in neither.
  const MarkFiles marks = state.points.marks();
  std::vector<PointLink> links;
  const auto machines = marks.machines_with_newest();
  note(machines);
  for (const std::string& machine : machines ? *machines : std::vector<std::string>()) {
    const auto newest = marks.newest(machine);
    note(newest);
    if (!newest || !*newest) continue;
    for (const NewestPoints::Entry& entry : (*newest)->points)
      links.push_back({newest_object(machine), entry.point, entry.hash});
  }
  CAIRN_TRY(const auto names, store.points().list_stored());
  std::vector<PointFile> files;
  for (const PointName& name : names) {
    const auto bytes = state.points.read_file(name);
    const auto point = bytes ? open_point(*bytes, name, state.keys, state.document.id,
                                          state.backend->location() + "/" + point_object(name))
                             : Result<RecoveryPoint>(pass_on(bytes.error()));
    if (!point) {
      if (point.error().code == ErrorCode::point_missing) continue;  // removed since it was listed
      files.push_back({name.text(), {}, false});
      if (is_damage_error(point.error()))
        found.damaged.push_back({name, point.error().message(), {}});
      else
        found.unreadable.push_back(point.error().message());
      continue;
    }
    found.points.push_back(name);
    files.push_back({name.text(), Blake3::hex_of(*bytes), false});
    links.push_back({name.text(), point->previous_name, point->previous});
  }
  const auto tombstones = store.points().tombstones();
  if (!tombstones) {
    if (is_damage_error(tombstones.error()))
      found.documents.push_back(tombstones.error().message());
    else
      found.unreadable.push_back(tombstones.error().message());
  } else {
    for (const Tombstone& tombstone : *tombstones) {
      files.push_back({tombstone.point.text(), tombstone.hash, true});
      links.push_back({tombstone.point.text(), tombstone.previous_name, tombstone.previous});
    }
  }
  const auto deleted = store.points().list_deleted();
  note(deleted);
  if (deleted)
    for (const PointName& name : *deleted) note(store.points().deletion_of(name));
  for (const PointName& name : names) note(store.points().protection_of(name));
  // A gap that was accepted stays accepted until its point is back, even while what names it is missing.
  for (const PointGap& gap : known.accepted_gaps) {
    const bool back = std::ranges::any_of(files, [&](const PointFile& file) {
      return file.point == gap.missing && (file.hash == gap.hash || gap.hash.empty());
    });
    if (!back) found.accepted_gaps.push_back(gap);
  }
  const auto is_in = [](const std::vector<PointGap>& list, const PointGap& gap) {
    return std::ranges::any_of(list, [&](const PointGap& other) { return is_same(gap, other); });
  };
  for (PointGap& gap : find_gaps(links, files)) {
    if (is_in(found.accepted_gaps, gap) || is_in(found.gaps, gap) || !is_still_named(marks, gap)) continue;
    (accept ? found.accepted_gaps : found.gaps).push_back(std::move(gap));
  }
  return found;
}

}  // namespace cairn
