// SPDX-License-Identifier: GPL-3.0-or-later
// What is in the store of each machine, as far as a host remembers it: fs/store/verify/rollback.h.
#include <algorithm>

#include "fs/store/point/mark_files.h"
#include "fs/store/point/point_file.h"
#include "fs/store/store.h"
#include "fs/store/store_state.h"
#include "fs/store/verify/damage.h"
#include "fs/store/verify/rollback.h"

namespace cairn {
namespace {

// What is remembered of the point, or what its file says; nothing: it cannot be read. Errors: point_missing.
Result<std::optional<SeenPoint>> see_point(StoreState& store, const PointName& name, const StoreMemories& known) {
  if (const auto machine = known.find(name.machine); machine != known.end())
    if (const auto point = machine->second.points.find(name.text()); point != machine->second.points.end())
      return std::optional(point->second);
  const auto bytes = store.points.read_file(name);
  if (!bytes && bytes.error().code == ErrorCode::point_missing) return pass_on(bytes.error());
  if (!bytes) return std::optional<SeenPoint>();
  const auto point = open_point(*bytes, name, store.keys, store.document.id, point_object(name));
  if (!point) return std::optional<SeenPoint>();
  return std::optional(SeenPoint{Blake3::hex_of(*bytes), point->previous_name});
}

}  // namespace

Result<std::map<std::string, MachineView>> look_at_machines(Store& store, const StoreMemories& known) {
  StoreState& state = store.state();
  const MarkFiles marks = state.points.marks();
  std::map<std::string, MachineView> machines;
  for (const auto& entry : known) machines[entry.first];
  // Points first: what is purged from here on leaves its tombstone, or what stands for it, before its file goes.
  CAIRN_TRY(const auto stored, marks.names_in(kPointsPrefix));
  for (const PointName& name : stored) {
    auto point = see_point(state, name, known);
    if (point) machines[name.machine].points[name.text()] = *std::move(point);
  }
  CAIRN_TRY(const auto deleted, marks.names_in(kDeletedPrefix));
  for (const PointName& name : deleted) {
    MachineView& of = machines[name.machine];
    if (!of.points.contains(name.text())) {
      // It stands for a tombstone.
      const auto file = marks.deletion(name);
      if (!file || *file)
        of.tombstones[name.text()] = file ? std::optional((*file)->facts.previous_name) : std::nullopt;
      continue;
    }
    const auto hash = marks.hash_of(deletion_object(name));
    if (hash && *hash) of.deletions[name.text()] = **hash;
  }
  CAIRN_TRY(const auto kept, marks.names_in(kProtectedPrefix));
  for (const PointName& name : kept) {
    const auto hash = marks.hash_of(protection_object(name));
    const auto protection = marks.protection(name);
    const bool readable = hash && *hash && protection && *protection;
    machines[name.machine].protections[name.text()] =
        readable ? SeenProtection{**hash, (*protection)->until} : SeenProtection{};
  }
  // A protection that is gone may be that of an earlier point of the name.
  for (const auto& [machine, memory] : known)
    for (const auto& [text, protection] : memory.protections) {
      MachineView& of = machines[machine];
      const auto name = PointName::parse(text);
      if (!name || of.protections.contains(text) || !of.points.contains(text)) continue;
      if (auto point = see_point(state, *name, {})) of.points[text] = *std::move(point);
    }
  CAIRN_TRY(const auto purged, marks.names_in(kPurgedPrefix));
  for (const PointName& name : purged) {
    MachineView& of = machines[name.machine];
    const auto tombstone = marks.tombstone(name);
    if (of.points.contains(name.text()) || (tombstone && !*tombstone)) continue;
    of.tombstones[name.text()] = tombstone ? std::optional((*tombstone)->previous_name) : std::nullopt;
  }
  CAIRN_TRY(const auto recorded, marks.machines_with_newest());
  for (const std::string& machine : recorded) {
    MachineView& of = machines[machine];
    auto newest = marks.newest(machine);
    of.newest_unreadable = !newest.has_value();
    if (newest) of.newest = *std::move(newest);
  }
  if (const auto damage = load_damage(store))
    for (const PointGap& gap : damage->accepted_gaps)
      if (const auto name = PointName::parse(gap.missing)) machines[name->machine].accepted.insert(gap.missing);
  return machines;
}

}  // namespace cairn
