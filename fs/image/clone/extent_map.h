// SPDX-License-Identifier: GPL-3.0-or-later
// Extent maps: where the bytes of a file lie on the disk, by FIEMAP (linux/fiemap.h,
// Documentation/filesystems/fiemap.rst). Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "config/base/result.h"

namespace cairn {

// One extent as the file system tells it. Bytes; `flags` are FIEMAP_EXTENT_*.
struct MappedExtent {
  std::uint64_t logical = 0;
  std::uint64_t physical = 0;
  std::uint64_t length = 0;
  std::uint32_t flags = 0;
  bool operator==(const MappedExtent&) const = default;
};

// Some neighbouring extents. What lies in [from, end) and in none of them is a hole.
struct ExtentBatch {
  std::vector<MappedExtent> extents;
  std::uint64_t from = 0;
  std::uint64_t end = 0;  // UINT64_MAX: there are no more
};

enum class FlushFirst { yes, no };

// The extents of the open file from byte `from` on, `at_most` of them. With FlushFirst::yes what the file still has in
// memory only is written to its place before (FIEMAP_FLAG_SYNC).
// Errors: not_supported_yet (the file system cannot tell), image_unreadable.
Result<ExtentBatch> read_extents(int fd, std::uint64_t from, std::size_t at_most, FlushFirst flush);

}  // namespace cairn
