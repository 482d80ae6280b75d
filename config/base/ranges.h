// SPDX-License-Identifier: GPL-3.0-or-later
// Ranges: lists of parts of a disk or file in one tidy form: ascending, none empty, none touching the next. An end that
// would lie beyond 2^64 lies there. Any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "config/base/bytes.h"

namespace cairn {

// Where a range ends: the first byte behind it.
[[nodiscard]] std::uint64_t end_of(const ByteRange& range);

// Any list in the tidy form: those that touch or overlap become one, empty ones go.
void merge_ranges(std::vector<ByteRange>& ranges);
// The tidy form of what lies below `size`.
[[nodiscard]] std::vector<ByteRange> tidy_ranges(std::vector<ByteRange> ranges, std::uint64_t size);

// Makes `last` reach to the end of `next` when `next`, which does not begin before it, touches or overlaps it. False:
// there is a gap between them, and nothing happened. For lists that are made in order.
bool extend_range(ByteRange& last, const ByteRange& next);

}  // namespace cairn
