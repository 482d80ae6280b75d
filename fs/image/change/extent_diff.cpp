// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/image/change/extent_diff.h"

#include <linux/fiemap.h>

#include <algorithm>

namespace cairn {
namespace {

// These say nothing about where the bytes are. Every other flag but UNWRITTEN does, or is one that we do not know.
constexpr std::uint32_t kHarmless = FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_MERGED | FIEMAP_EXTENT_SHARED;
constexpr std::uint32_t kUnderstood = kHarmless | FIEMAP_EXTENT_UNWRITTEN;

bool in_order(std::span<const MappedExtent> extents) {
  std::uint64_t end = 0;
  for (const MappedExtent& extent : extents) {
    if (extent.logical < end || extent.length == 0 || extent.length > UINT64_MAX - extent.logical ||
        extent.length > UINT64_MAX - extent.physical)
      return false;
    end = extent.logical + extent.length;
  }
  return true;
}

// Walks a list by position.
class Cursor {
 public:
  explicit Cursor(std::span<const MappedExtent> extents) : rest_(extents) {}
  // Positions only ever grow.
  void move_to(std::uint64_t position) {
    while (!rest_.empty() && rest_.front().logical + rest_.front().length <= position) rest_ = rest_.subspan(1);
    at_ = position;
  }
  // The extent that the position lies in; null: a hole.
  [[nodiscard]] const MappedExtent* extent() const {
    return !rest_.empty() && rest_.front().logical <= at_ ? &rest_.front() : nullptr;
  }
  // Where that extent or hole ends.
  [[nodiscard]] std::uint64_t end() const {
    if (rest_.empty()) return UINT64_MAX;
    return rest_.front().logical <= at_ ? rest_.front().logical + rest_.front().length : rest_.front().logical;
  }

 private:
  std::span<const MappedExtent> rest_;
  std::uint64_t at_ = 0;
};

bool same_place(const MappedExtent* before, const MappedExtent* now, std::uint64_t at) {
  if (before == nullptr || now == nullptr) return before == now;
  if (((before->flags | now->flags) & ~kUnderstood) != 0) return false;
  if (((before->flags ^ now->flags) & FIEMAP_EXTENT_UNWRITTEN) != 0) return false;
  // No file system keeps data where its own first superblock is: 0 stands for "nowhere in particular".
  if (before->physical == 0 || now->physical == 0) return false;
  return before->physical + (at - before->logical) == now->physical + (at - now->logical);
}

}  // namespace

std::vector<ByteRange> unchanged_ranges(std::span<const MappedExtent> before, std::span<const MappedExtent> now,
                                        std::uint64_t from, std::uint64_t end) {
  std::vector<ByteRange> same;
  if (!in_order(before) || !in_order(now)) return same;
  Cursor old_extents(before);
  Cursor new_extents(now);
  for (std::uint64_t at = from; at < end;) {
    old_extents.move_to(at);
    new_extents.move_to(at);
    const std::uint64_t here = std::min({old_extents.end(), new_extents.end(), end});
    if (same_place(old_extents.extent(), new_extents.extent(), at)) {
      if (!same.empty() && same.back().offset + same.back().size == at)
        same.back().size += here - at;
      else
        same.push_back({at, here - at});
    }
    at = here;
  }
  return same;
}

bool same_reading(std::span<const MappedExtent> one, std::span<const MappedExtent> other, std::uint64_t from,
                  std::uint64_t end) {
  const auto touching = [&](std::span<const MappedExtent> extents) {
    std::vector<MappedExtent> inside;
    for (MappedExtent extent : extents) {
      if (extent.logical >= end || extent.logical + extent.length <= from) continue;
      extent.flags &= ~kHarmless;
      inside.push_back(extent);
    }
    return inside;
  };
  return touching(one) == touching(other);
}

}  // namespace cairn
