// SPDX-License-Identifier: GPL-3.0-or-later
// Open files: see open_files.h.
#include "fs/mount/open_files.h"

#include <algorithm>

#include "config/base/units.h"

namespace cairn {
namespace {

// What zero chunks are answered from. Never written: in .bss it costs one page of the kernel's zeros.
constexpr std::size_t kZeroBytes = 256 * kKiB;
alignas(4096) std::uint8_t zeros[kZeroBytes];

}  // namespace

Result<std::shared_ptr<OpenDisk>> OpenDisks::open(InodeNumber inode, const FileContent& content) {
  const std::lock_guard lock(mutex_);  // making a reader reads nothing, and a hold is one system call
  if (const auto at = open_.find(inode); at != open_.end())
    if (auto disk = at->second.lock()) return disk;
  std::erase_if(open_, [](const auto& entry) { return entry.second.expired(); });
  auto disk = std::make_shared<OpenDisk>();
  disk->point = content.point;
  CAIRN_TRY(disk->hold, hold_point_(content.point->name));
  disk->reader = make_reader_(*content.image);
  open_[inode] = disk;
  return disk;
}

std::vector<InodeNumber> OpenDisks::open_inodes() const {
  const std::lock_guard lock(mutex_);
  std::vector<InodeNumber> inodes;
  for (const auto& [inode, disk] : open_)
    if (!disk.expired()) inodes.push_back(inode);
  return inodes;
}

void ReadPieces::clear() {
  pieces.clear();
  held.clear();
  size = 0;
  failure.reset();
}

void gather(DiskReader& disk, ByteOffset from, ByteCount wanted, ReadPieces& answer) {
  answer.clear();
  std::uint64_t offset = from.from_start();
  const std::uint64_t disk_size = disk.size();
  if (offset >= disk_size) return;
  std::uint64_t left = std::min(wanted.bytes(), disk_size - offset);
  const std::uint64_t chunk_size = disk.chunk_size();
  const std::uint64_t first = offset / chunk_size;
  thread_local std::vector<Result<SharedBuffer>> chunks;  // so that it is allocated once a thread
  const std::uint64_t last = (offset + left - 1) / chunk_size;
  if (first == last)
    chunks.assign(1, disk.chunk(first));
  else
    disk.chunks(first, last - first + 1, chunks);
  while (left > 0) {
    const std::uint64_t index = offset / chunk_size;
    const std::uint64_t start = offset % chunk_size;
    std::uint64_t bytes = std::min(left, chunk_size - start);
    Result<SharedBuffer>& chunk = chunks[static_cast<std::size_t>(index - first)];
    if (chunk && *chunk && (*chunk)->size() < start + bytes)
      chunk = fail(ErrorCode::chunk_damaged, "read disk", disk.object(), "a chunk is shorter than it must be");
    if (!chunk) {
      answer.failure = std::move(chunk).error();
      answer.failed_chunk = index;
      answer.failed_offset = offset;
      break;
    }
    offset += bytes;
    left -= bytes;
    answer.size += bytes;
    if (*chunk) {
      // iovec has no const; nobody writes through it.
      answer.pieces.push_back({const_cast<std::uint8_t*>((*chunk)->data() + start), bytes});
      answer.held.push_back(*std::move(chunk));
      continue;
    }
    while (bytes > 0) {
      const std::uint64_t some = std::min<std::uint64_t>(bytes, kZeroBytes);
      answer.pieces.push_back({zeros, some});
      bytes -= some;
    }
  }
  chunks.clear();  // what is held is the answer's to let go
}

}  // namespace cairn
