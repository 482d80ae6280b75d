// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/verify/rollback.h"

#include <algorithm>
#include <utility>

namespace cairn {
namespace {

enum class Absence { removed, lost, not_known };

class Judge {
 public:
  Judge(const MachineMemory& memory, const MachineView& view, UtcTime now) : memory_(memory), view_(view), now_(now) {
    judged_.next = memory;
  }

  RollbackJudgement run() {
    judge_changes();
    for (const auto& [name, seen] : memory_.points)
      if (!view_.points.contains(name)) judge_absence(name, seen);
    for (const auto& [name, seen] : view_.points) {
      if (!seen) continue;
      const auto known = memory_.points.find(name);
      // Purged meanwhile, and its name used again: nothing of the one before holds for it.
      if (known != memory_.points.end() && known->second.hash != seen->hash) forget(name);
      if (known == memory_.points.end() || known->second.hash != seen->hash) judge_arrival(name, *seen);
    }
    judge_deletions();
    judge_protections();
    bound();
    return std::move(judged_);
  }

 private:
  void find(std::string text) { judged_.findings.push_back(std::move(text)); }

  // Does the record of changes go on from the one that was seen?
  void judge_changes() {
    MachineMemory& next = judged_.next;
    if (view_.newest_unreadable) {
      if (memory_.older) find("the record of its changes was older when it could be read last");
      return;
    }
    const std::uint64_t found = view_.newest ? view_.newest->changes : 0;
    const auto adopt = [&] {
      if (found == 0) return;
      next.changes = found;
      next.change = view_.newest->change_ids.empty() ? std::string() : view_.newest->change_ids.back();
      next.older = false;
    };
    if (memory_.changes == 0) return adopt();
    if (found < memory_.changes) {
      next.older = true;
      return find("its last change is number " + std::to_string(found) + " there, and this host saw number " +
                  std::to_string(memory_.changes));
    }
    const std::vector<std::string>& ids = view_.newest->change_ids;
    const std::uint64_t back = found - memory_.changes;
    if (back >= ids.size()) {
      // Too long ago to be listed.
      if (memory_.older) return find("changes that this host saw may be missing from its record");
      return adopt();
    }
    if (ids[ids.size() - 1 - static_cast<std::size_t>(back)] == memory_.change) return adopt();
    next.older = true;
    find("its change number " + std::to_string(memory_.changes) + " is another there than this host saw");
  }

  // Why a point that was seen is not there. Everything that Cairn removes leaves something that says so
  // (fs/store/FORMAT.md "Point state").
  [[nodiscard]] Absence why_absent(const std::string& name) const {
    if (view_.accepted.contains(name) || view_.tombstones.contains(name)) return Absence::removed;
    // In an older state the rest says what was true then.
    if (judged_.next.older) return Absence::lost;
    if (view_.newest_unreadable) return Absence::not_known;
    if (view_.newest)
      for (const NewestPoints::Entry& entry : view_.newest->points)
        if (entry.point == name) return Absence::lost;
    // Who comes next after it names an older one: when that was written, this one was gone. Points and tombstones of
    // one machine sort by time.
    const auto point = view_.points.upper_bound(name);
    const auto tombstone = view_.tombstones.upper_bound(name);
    const bool has_point = point != view_.points.end();
    const bool has_tombstone = tombstone != view_.tombstones.end();
    const bool tombstone_first = has_tombstone && (!has_point || tombstone->first < point->first);
    const std::string* successor = tombstone_first ? &tombstone->first : has_point ? &point->first : nullptr;
    // The newest points were purged up to there: no tombstone stays of them.
    const std::string up_to = view_.newest ? view_.newest->purged_up_to : std::string();
    if (name <= up_to && (successor == nullptr || up_to < *successor)) return Absence::removed;
    if (successor == nullptr) return Absence::lost;
    std::optional<std::string> previous;
    if (tombstone_first)
      previous = tombstone->second;
    else if (point->second)
      previous = point->second->previous;
    if (!previous) return Absence::not_known;
    return *previous < name ? Absence::removed : Absence::lost;
  }

  void judge_absence(const std::string& name, const SeenPoint& seen) {
    switch (why_absent(name)) {
      case Absence::removed:
        forget(name);
        judged_.next.gone[name] = seen.hash;
        return;
      case Absence::lost:
        return find("recovery point " + name + " is not there, and nothing says that it was removed");
      case Absence::not_known:
        return;
    }
  }

  void forget(const std::string& name) {
    MachineMemory& next = judged_.next;
    next.points.erase(name);
    next.deletions.erase(name);
    next.protections.erase(name);
    next.replaced.erase(name);
  }

  void judge_arrival(const std::string& name, const SeenPoint& seen) {
    const auto gone = memory_.gone.find(name);
    if (gone != memory_.gone.end() && gone->second == seen.hash)
      return find("recovery point " + name + " was removed, and is there again");
    judged_.next.gone.erase(name);
    judged_.next.points[name] = seen;
  }

  [[nodiscard]] bool was_replaced(const std::string& name, const std::string& hash) const {
    const auto known = judged_.next.replaced.find(name);
    return known != judged_.next.replaced.end() && std::ranges::count(known->second, hash) != 0;
  }
  void replace(const std::string& name, const std::string& hash) {
    std::vector<std::string>& hashes = judged_.next.replaced[name];
    hashes.push_back(hash);
    if (hashes.size() > kMostMarksRemembered) hashes.erase(hashes.begin());
  }

  void judge_deletions() {
    MachineMemory& next = judged_.next;
    for (const auto& [name, hash] : view_.deletions) {
      if (!next.points.contains(name)) continue;
      if (was_replaced(name, hash)) {
        find("a deletion of " + name + " that was undone is recorded again");
        continue;
      }
      std::string& known = next.deletions[name];
      if (!known.empty() && known != hash) replace(name, known);
      known = hash;
    }
    // In an older state it is no news that one is not there.
    if (next.older) return;
    for (const auto& [name, hash] : memory_.deletions)
      if (next.deletions.contains(name) && !view_.deletions.contains(name)) {
        replace(name, hash);
        next.deletions.erase(name);
      }
  }

  void judge_protections() {
    MachineMemory& next = judged_.next;
    for (const auto& [name, protection] : view_.protections) {
      if (protection.hash.empty() || !next.points.contains(name)) continue;
      if (was_replaced(name, protection.hash)) {
        find("an earlier record of the protection of " + name + " is there again");
        continue;
      }
      SeenProtection& known = next.protections[name];
      if (!known.hash.empty() && known.hash != protection.hash) replace(name, known.hash);
      known = protection;
    }
    for (const auto& [name, protection] : next.protections)
      // An older Cairn removed those that were over.
      if (view_.points.contains(name) && !view_.protections.contains(name) &&
          (!protection.until || *protection.until > now_))
        find("recovery point " + name + " was protected, and the record of that is gone");
  }

  void bound() {
    MachineMemory& next = judged_.next;
    while (next.points.size() > kMostPointsRemembered) forget(std::string(next.points.begin()->first));
    while (next.gone.size() > kMostGoneRemembered) next.gone.erase(next.gone.begin());
  }

  const MachineMemory& memory_;
  const MachineView& view_;
  const UtcTime now_;
  RollbackJudgement judged_;
};

}  // namespace

RollbackJudgement judge_rollback(const MachineMemory& memory, const MachineView& view, UtcTime now) {
  return Judge(memory, view, now).run();
}

}  // namespace cairn
