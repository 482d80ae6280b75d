// SPDX-License-Identifier: GPL-3.0-or-later
// Point state: what is recorded about recovery points beside the points themselves. A point may be deleted (hidden, and
// can be brought back), protected, or purged (removed for good, with a tombstone). Each is a small sealed document:
// fs/store/FORMAT.md "Point state". Reading: PointCatalog; changing: write/point_lifecycle.h.
#pragma once

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
// noticed too. When such a point is removed by Cairn, its predecessor takes its place.
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

  // `added` names `previous` (empty: none) as its predecessor.
  void add(Entry added, const std::string& previous);
  // The entry of `point`, if there is one, is its predecessor's from now on. True: there was one.
  bool take_over(const Tombstone& tombstone);
  // The tombstone is going to be removed.
  void remember(const Tombstone& tombstone);
};

}  // namespace cairn
