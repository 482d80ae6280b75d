// SPDX-License-Identifier: GPL-3.0-or-later
// ChangeTracker: which bytes did not change between the reference snapshot of an image and its new clone, from front to
// back. Reads both extent maps in batches, so the memory does not grow with the disk or its fragments. What is compared
// and why that is safe: fs/image/TRACKING.md. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "config/base/bytes.h"
#include "fs/image/clone/extent_map.h"

namespace cairn {

// The extents of one of the two from byte `from` on.
using ReadExtents = std::function<Result<ExtentBatch>(std::uint64_t from)>;
// Of an open file, flushed first; the descriptor is borrowed.
ReadExtents extents_of(int fd);

class ChangeTracker {
 public:
  struct Run {
    std::uint64_t end = 0;
    bool unchanged = false;
  };

  ChangeTracker(ReadExtents before, std::uint64_t before_size, ReadExtents now, std::uint64_t now_size);

  // What lies at `offset` (less than the new size) and how far it goes. Two changed runs may follow each other, two
  // unchanged ones do not. Fast for offsets that ascend, right for any.
  // An extent map that cannot be read makes the rest count as changed; trouble() then says why.
  Run at(std::uint64_t offset);
  // Calls `visit` for each part of [offset, offset + size) that is unchanged.
  void visit_unchanged(ByteRange range, const std::function<void(ByteRange)>& visit);
  // Empty: none.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }

 private:
  void load(std::uint64_t from);
  [[nodiscard]] Run in_window(std::uint64_t offset) const;

  ReadExtents before_;
  ReadExtents now_;
  std::uint64_t common_;  // bytes that both have
  std::uint64_t now_size_;
  // The part that was compared last.
  std::uint64_t window_from_ = 0;
  std::uint64_t window_end_ = 0;
  std::vector<ByteRange> same_;
  std::string trouble_;
};

}  // namespace cairn
