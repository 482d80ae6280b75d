// SPDX-License-Identifier: GPL-3.0-or-later
// Rollback: whether the points of a machine, and what is recorded about them, are older than a host saw them before:
// the store was put back to an earlier state, or a point or a record of its state was. The store cannot tell that by
// itself, for everything in it was right at its time. So a host keeps a MachineMemory of each machine and compares; a
// host that sees the store for the first time takes it as it is. Rules, and what is no rollback (deleting, pruning,
// purging, by whatever host): daemon/service/MEMORY.md. Judging is pure. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "fs/store/point/point_marks.h"

namespace cairn {

class Store;

// A point in points/.
struct SeenPoint {
  std::string hash;      // BLAKE3, hex, of its file
  std::string previous;  // its predecessor's name; empty: it was the first
  bool operator==(const SeenPoint&) const = default;
};

// protected/NAME.
struct SeenProtection {
  std::string hash;              // of the object; empty: it cannot be read
  std::optional<UtcTime> until;  // nothing: until somebody ends it
  bool operator==(const SeenProtection&) const = default;
};

// What a host remembers of a machine. Keys are names of points.
struct MachineMemory {
  std::uint64_t changes = 0;  // NewestPoints::changes; 0: none was seen yet
  std::string change;         // its id
  bool older = false;         // the record does not go on from that change; until it does, or is accepted
  std::map<std::string, SeenPoint> points;
  std::map<std::string, std::string> gone;       // removed by Cairn; hash
  std::map<std::string, std::string> deletions;  // hash of deleted/NAME
  std::map<std::string, SeenProtection> protections;
  std::map<std::string, std::vector<std::string>> replaced;  // hashes of marks that are not in force any more
  bool operator==(const MachineMemory&) const = default;
};
using StoreMemories = std::map<std::string, MachineMemory>;  // by machine

// How much is remembered of one machine; the oldest goes first.
inline constexpr std::size_t kMostPointsRemembered = 10'000;
inline constexpr std::size_t kMostGoneRemembered = 1'000;
inline constexpr std::size_t kMostMarksRemembered = 16;  // replaced ones, of one point

// What is in the store of a machine.
struct MachineView {
  std::optional<NewestPoints> newest;  // nothing: there is none
  bool newest_unreadable = false;
  std::map<std::string, std::optional<SeenPoint>> points;        // nothing: it cannot be read
  std::map<std::string, std::optional<std::string>> tombstones;  // its `previous_name`; nothing: it cannot be read
  std::map<std::string, std::string> deletions;                  // as MachineMemory has them
  std::map<std::string, SeenProtection> protections;
  std::set<std::string> accepted;  // points of which somebody said that they are gone
};

struct RollbackJudgement {
  std::vector<std::string> findings;  // sentences without an end; none: it is as it was, or newer
  MachineMemory next;                 // what to remember from here on: nothing of what is missing is forgotten
};
// `now`: whether a protection that is gone was still running.
RollbackJudgement judge_rollback(const MachineMemory& memory, const MachineView& view, UtcTime now);

// All machines that are in the store or in `known`. Reads each point that `known` does not have; what is known of the
// others is taken from there. Takes no lock: what a writer does meanwhile may show half done, so whoever finds
// something looks again. Errors: those of listing.
Result<std::map<std::string, MachineView>> look_at_machines(Store& store, const StoreMemories& known);

}  // namespace cairn
