// What is recorded about recovery points besides the points themselves: that one is deleted and may still be brought
// back, that one is protected, that one was removed for good. Small sealed documents: fs/store/FORMAT.md "Marks".
// Reading: Store; changing: StoreWriter. SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <optional>
#include <string>

#include "config/base/clock.h"
#include "fs/store/recovery_point.h"

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

// purged/NAME: the point was removed by Cairn. Stays as long as the point after it, so that its absence is explained;
// when that goes too, its tombstone takes over `previous` of this one.
struct Tombstone {
  PointName point;
  std::string hash;           // BLAKE3, hex, of the point's file: what its successor names; empty: not known
  std::string previous_name;  // its own predecessor; empty: it was the first
  std::string previous;       // that one's hash
  UtcTime purged;
  std::string because;
};

}  // namespace cairn
