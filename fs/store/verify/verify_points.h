// SPDX-License-Identifier: GPL-3.0-or-later
// The points of a store as a verify looks at them: does each open, and is the chain of predecessors without a gap?
// Internal to fs/store.
#pragma once

#include <string>
#include <vector>

#include "fs/store/verify/damage.h"

namespace cairn {

// Why there is a gap (PointGap::because).
inline constexpr const char* kPointFileMissing = "its file is not there";
inline constexpr const char* kPointFileOther = "its file is another";

struct PointsFound {
  std::vector<PointName> points;  // that open
  std::vector<PointDamage> damaged;
  std::vector<PointGap> gaps;
  std::vector<PointGap> accepted_gaps;  // those of `known` whose point is not back, and with `accept` all
  std::vector<std::string> documents;   // of point state, that cannot be read
  std::vector<std::string> unreadable;  // for the moment
};

// Errors: those of listing.
Result<PointsFound> look_at_points(Store& store, const Damage& known, bool accept);

// The gaps among these links. Pure.
struct PointLink {
  std::string point;          // or the record of the machine's newest points: "newest/web-01"
  std::string previous;       // its predecessor's name; empty: it was the first
  std::string previous_hash;  // empty: not known
};
struct PointFile {
  std::string point;
  std::string hash;      // of its file; empty: it cannot be read
  bool removed = false;  // by Cairn: this is its tombstone
};
std::vector<PointGap> find_gaps(const std::vector<PointLink>& links, const std::vector<PointFile>& files);

}  // namespace cairn
