// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/image/change/change_tracker.h"

#include <algorithm>
#include <utility>

#include "fs/image/change/extent_diff.h"

namespace cairn {

namespace {
constexpr std::size_t kBatchExtents = 512;  // 56 bytes each; few, as the readers wait while they are asked for
}

ReadExtents extents_of(int fd) {
  return [fd](std::uint64_t from) { return read_extents(fd, from, kBatchExtents, FlushFirst::yes); };
}

ChangeTracker::ChangeTracker(ReadExtents before, std::uint64_t before_size, ReadExtents now, std::uint64_t now_size)
    : before_(std::move(before)), now_(std::move(now)), common_(std::min(before_size, now_size)), now_size_(now_size) {}

// Compares from `from` as far as one batch of each reaches.
void ChangeTracker::load(std::uint64_t from) {
  same_.clear();
  window_from_ = from;
  window_end_ = now_size_;
  if (!trouble_.empty()) return;
  const auto before = before_(from);
  const auto now = before ? now_(from) : before;
  // Balancing and defragmenting move extents, and may give their old place to others while we look: what holds is
  // what the older clone says before and after.
  const auto again = now ? before_(from) : now;
  if (!again) {
    trouble_ = again.error().message();
    return;
  }
  window_end_ = std::min({before->end, now->end, again->end, common_});
  if (!same_reading(before->extents, again->extents, from, window_end_)) return;
  same_ = unchanged_ranges(before->extents, now->extents, from, window_end_);
}

ChangeTracker::Run ChangeTracker::in_window(std::uint64_t offset) const {
  const auto after = std::upper_bound(same_.begin(), same_.end(), offset,
                                      [](std::uint64_t at, const ByteRange& range) { return at < range.offset; });
  if (after != same_.begin()) {
    const ByteRange& range = *std::prev(after);
    if (offset < range.offset + range.size) return {range.offset + range.size, true};
  }
  return {after == same_.end() ? window_end_ : after->offset, false};
}

ChangeTracker::Run ChangeTracker::at(std::uint64_t offset) {
  if (offset >= common_) return {now_size_, false};
  if (offset < window_from_ || offset >= window_end_) load(offset);
  Run run = in_window(offset);
  // Where a batch ends is no end of what is unchanged: a chunk across it must not count as partly changed.
  while (run.unchanged && run.end == window_end_ && run.end < common_) {
    load(run.end);
    const Run more = in_window(run.end);
    if (!more.unchanged) break;
    run.end = more.end;
  }
  if (!run.unchanged && run.end == common_) run.end = now_size_;
  return run;
}

void ChangeTracker::visit_unchanged(ByteRange range, const std::function<void(ByteRange)>& visit) {
  const std::uint64_t end = std::min(range.offset + range.size, now_size_);
  for (std::uint64_t at = range.offset; at < end;) {
    const Run run = this->at(at);
    const std::uint64_t here = std::min(run.end, end);
    if (run.unchanged) visit({at, here - at});
    at = here;
  }
}

}  // namespace cairn
