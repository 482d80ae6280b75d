// SPDX-License-Identifier: GPL-3.0-or-later
// Disks with LVM2 physical volumes and md members, made byte by byte, so that no test needs their tools or
// device-mapper. Layouts: crypto/volume/VOLUMES.md. The metadata text is what lvm2 2.03 writes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/base/bytes.h"

namespace cairn::testing {

inline constexpr std::uint64_t kLvmExtent = 1024 * 1024;
inline constexpr std::uint64_t kLvmStart = 1024 * 1024;  // of the first extent

// 32 characters from one.
std::string lvm_id(char of);

struct LvmText {
  std::string group = "vg0";
  std::uint64_t sequence = 1;
  std::vector<std::string> physical = {lvm_id('a')};  // pv0, pv1, ...: ids
  std::uint64_t extents = 64;                         // that each has
  std::string volumes;                                // the inside of logical_volumes
  [[nodiscard]] std::string text() const;
};
// A visible volume of one segment for each of `segments`, each the inside of one.
std::string lvm_volume(const std::string& name, const std::vector<std::string>& segments);
// `count` extents from `start` of the volume, at `at` of the physical volume.
std::string lvm_linear(std::uint64_t start, std::uint64_t count, const std::string& physical, std::uint64_t at);

// The first MiB of a physical volume: label in sector 1, metadata area from 4096 on. `wrap`: the text goes round its
// end.
Buffer lvm_physical_volume(const std::string& id, std::uint64_t size, const std::string& text, bool wrap = false);

struct MdFacts {
  std::int32_t level = 1;
  std::uint32_t disks = 2;
  std::uint64_t data_at = 2048;  // sectors
  std::uint64_t data_size = 0;   // sectors
  std::uint64_t super_at = 8;    // sectors: 8 for version 1.2
  std::uint16_t role = 0;
};
// A superblock of version 1.x, its checksum right.
Buffer md_superblock(const MdFacts& facts);

}  // namespace cairn::testing
