// SPDX-License-Identifier: GPL-3.0-or-later
// Direct I/O: large reads and writes that pass the page cache by (open(2), O_DIRECT): what is read once or written once
// must not push out what others use, nor be copied on the way. Where the file system refuses, or an address or length
// is not a multiple of kDirectBlock, the ordinary way is taken. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>

#include "config/base/bytes.h"
#include "config/base/result.h"
#include "config/base/unique_fd.h"

namespace cairn {

// Bytes; a multiple of every block size that disks and file systems have for this (statx(2), STATX_DIOALIGN).
inline constexpr std::uint64_t kDirectBlock = 4096;

constexpr std::uint64_t direct_floor(std::uint64_t offset) {
  return offset / kDirectBlock * kDirectBlock;
}
constexpr std::uint64_t direct_ceiling(std::uint64_t offset) {
  return direct_floor(offset + kDirectBlock - 1);
}

// The first `bytes` bytes of `buffer`, which grows when it must: what was in it is lost then.
inline MutableBytes room_in(BulkBuffer& buffer, std::size_t bytes) {
  if (buffer.size() < bytes) {
    buffer.clear();  // not copied along
    buffer.resize(bytes);
  }
  return MutableBytes(buffer).first(bytes);
}

// Reads a file or block device.
class DirectReads {
 public:
  // `fd` is borrowed, open for reading, and is what is read where the direct way is not to be had.
  explicit DirectReads(int fd);
  // As pread(2): bytes read, 0 at the end, or -1 and errno; may be short.
  ssize_t read(std::uint64_t offset, MutableBytes to);
  // False from the first refusal on.
  [[nodiscard]] bool direct() const { return usable_.load(std::memory_order_relaxed); }

 private:
  int fd_;
  UniqueFd direct_;
  std::atomic<bool> usable_;
};

// Writes all of `parts`, one after the other, to the empty file `fd` (open for writing, its offset at 0): directly
// where they are large and their memory lies on pages (BulkBuffer). Not durable on return. `path` is for messages.
// Errors: no_space, io_error.
Result<void> write_parts(int fd, std::span<const ByteView> parts, const std::string& path);

}  // namespace cairn
