// SPDX-License-Identifier: GPL-3.0-or-later
#include "config/base/ranges.h"

#include <algorithm>
#include <limits>

namespace cairn {

std::uint64_t end_of(const ByteRange& range) {
  return range.offset + std::min(range.size, std::numeric_limits<std::uint64_t>::max() - range.offset);
}

bool extend_range(ByteRange& last, const ByteRange& next) {
  if (next.offset > end_of(last)) return false;
  last.size = std::max(end_of(last), end_of(next)) - last.offset;
  return true;
}

void merge_ranges(std::vector<ByteRange>& ranges) {
  std::ranges::sort(ranges, {}, &ByteRange::offset);
  std::size_t kept = 0;
  for (const ByteRange& range : ranges) {
    if (range.size == 0 || (kept != 0 && extend_range(ranges[kept - 1], range))) continue;
    ranges[kept++] = range;
  }
  ranges.resize(kept);
}

std::vector<ByteRange> tidy_ranges(std::vector<ByteRange> ranges, std::uint64_t size) {
  for (ByteRange& range : ranges) range.size = range.offset >= size ? 0 : std::min(range.size, size - range.offset);
  merge_ranges(ranges);
  return ranges;
}

}  // namespace cairn
