// SPDX-License-Identifier: GPL-3.0-or-later
// Point state: what is recorded about recovery points beside the points themselves. A point may be deleted (hidden, and
// can be brought back), protected, or purged (removed for good, with a tombstone). Each is a small sealed document:
// fs/store/FORMAT.md "Point state". Reading: PointCatalog; changing: write/point_lifecycle.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "fs/store/point/recovery_point.h"
#include "fs/store/point/written_order.h"

namespace cairn {

// deleted/NAME: the point is hidden; its file is still in points/. As long as it is, it can be brought back.
struct Deletion {
  PointName point;
  UtcTime deleted;
  UtcTime purge_after;  // from then on a prune removes it for good
  std::string because;  // "retention", "by hand"
};

// protected/NAME: neither retention nor deletion takes the point.
struct Protection {
  PointName point;
  UtcTime since;
  std::optional<UtcTime> until;  // nothing: until somebody ends it
};

// `until` of a protection that somebody ended: over by any clock.
inline constexpr UtcTime kProtectionEnded{};

// purged/NAME: the point was removed by Cairn. Stays as long as its successor, so that its absence is explained;
// when that goes too, its tombstone takes over `previous` of this one.
struct Tombstone {
  PointName point;
  std::string hash;           // BLAKE3, hex, of the point's file: what its successor names; empty: not known
  std::string previous_name;  // its own predecessor; empty: it was the first
  std::string previous;       // that one's hash
  UtcTime purged;
  std::string because;
};

// newest/MACHINE: the points of that machine that no other names as its predecessor: its newest one, and more only
// where a clock went back between two backups. Written after each commit, so that the loss of the newest point is
// noticed too. When such a point is removed by Cairn, its predecessor takes its place. Stays when the machine has no
// point any more, for what it counts.
struct NewestPoints {
  struct Entry {
    std::string point;
    std::string hash;  // BLAKE3, hex, of the point's file; empty: not known
    bool operator==(const Entry&) const = default;
  };
  std::string machine;
  std::vector<Entry> points;
  WrittenOrder order = {};
  // Dates of purged points that have no tombstone any more: no point is given their names again. The last so many.
  static constexpr std::size_t kMostGone = 500;
  std::vector<UtcTime> gone = {};
  // What a host that saw the store before goes by, to tell an older state from a newer one (verify/rollback.h). Each
  // change of the machine's points or of their states counts one and has an id, made at random; an older Cairn's
  // record has none.
  std::uint64_t changes = 0;
  // Of the last ones, kChangeIds at most; the last is that of change `changes`.
  std::vector<std::string> change_ids = {};
  std::string purged_up_to = {};  // the youngest point that was ever purged; empty: none

  static constexpr std::size_t kChangeIds = 256;
  // In the place of a record that cannot be read: how many changes that had counted is not known, so it goes on at a
  // number that none has come to, the seconds since 1970.
  static NewestPoints anew(std::string machine, UtcTime now);
  // One more change. `id`: change_id().
  void count_change(std::string id);
  // The point was purged, and no tombstone says so any more.
  void note_purged(const std::string& point) { purged_up_to = std::max(purged_up_to, point); }

  // `added` names `previous` (empty: none) as its predecessor.
  void add(Entry added, const std::string& previous);
  // The entry of `point`, if there is one, is its predecessor's from now on. True: there was one.
  bool take_over(const Tombstone& tombstone);
  // The tombstone is going to be removed.
  void remember(const Tombstone& tombstone);
};

// 16 hex digits, random.
std::string change_id();

}  // namespace cairn
