// SPDX-License-Identifier: GPL-3.0-or-later
// LVM2's metadata text: a volume group as its physical volumes keep it. Whoever rules a guest writes it: a bounded
// parser of what the places of linear and striped volumes need. Pure. Any thread. Bytes: VOLUMES.md, "LVM2".
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

struct LvmPhysicalVolume {
  std::string section;        // what segments call it: "pv0"
  std::string id;             // 32 characters, without dashes
  std::uint64_t start = 0;    // of its first extent, bytes from the physical volume's start
  std::uint64_t extents = 0;  // that it has
};

struct LvmStripe {
  std::string section;       // of the physical volume
  std::uint64_t extent = 0;  // its first, counted in the physical volume
};
struct LvmSegment {
  std::uint64_t start = 0;  // extents, in the logical volume
  std::uint64_t extents = 0;
  std::uint64_t stripe_bytes = 0;  // 0: linear
  std::vector<LvmStripe> stripes;
};
struct LvmLogicalVolume {
  std::string name;
  std::vector<LvmSegment> segments;
  std::string why_not;  // it is of a kind that is not looked into: which
};

struct LvmGroup {
  std::string name;
  std::string id;
  std::uint64_t sequence = 0;      // the higher, the newer
  std::uint64_t extent_bytes = 0;  // above 0
  std::vector<LvmPhysicalVolume> physical;
  std::vector<LvmLogicalVolume> logical;  // those that are visible
};

inline constexpr std::size_t kMaxLvmText = 4 * 1024 * 1024;

// The error is what is wrong, in words.
std::expected<LvmGroup, std::string> parse_lvm_group(std::string_view text);

}  // namespace cairn
