// SPDX-License-Identifier: GPL-3.0-or-later
// Extent diff: which bytes of two clones of one image are surely the same, from where they lie on the disk. Why that
// may be trusted: fs/image/TRACKING.md. Pure. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "config/base/bytes.h"
#include "fs/image/clone/extent_map.h"

namespace cairn {

// The parts of [from, end) that are the same in both: both have them at the same place on the disk with plain flags,
// or both have a hole there. Ascending; neighbours are merged. Each list holds all extents that touch [from, end), in
// order, split in any way; a list that is not in order, or overlaps itself, makes everything count as changed.
std::vector<ByteRange> unchanged_ranges(std::span<const MappedExtent> before, std::span<const MappedExtent> now,
                                        std::uint64_t from, std::uint64_t end);

// True when two readings of one file's extents agree on [from, end). Readings that only split otherwise may count as
// different.
bool same_reading(std::span<const MappedExtent> one, std::span<const MappedExtent> other, std::uint64_t from,
                  std::uint64_t end);

}  // namespace cairn
