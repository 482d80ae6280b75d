// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/image/clone/extent_map.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>

namespace cairn {

Result<ExtentBatch> read_extents(int fd, std::uint64_t from, std::size_t at_most, FlushFirst flush) {
  const std::size_t room = sizeof(struct fiemap) + at_most * sizeof(struct fiemap_extent);
  std::vector<std::uint64_t> memory((room + 7) / 8);  // aligned as the kernel's structures want it
  auto* const map = reinterpret_cast<struct fiemap*>(memory.data());
  map->fm_start = from;
  // Always to the end of the file: only then does the last extent say that it is the last.
  map->fm_length = FIEMAP_MAX_OFFSET - from;
  map->fm_flags = flush == FlushFirst::yes ? FIEMAP_FLAG_SYNC : 0;
  map->fm_extent_count = static_cast<std::uint32_t>(at_most);
  while (::ioctl(fd, FS_IOC_FIEMAP, map) != 0) {
    if (errno == EINTR) continue;
    const bool cannot = errno == EOPNOTSUPP || errno == ENOTTY || errno == EBADR;
    return fail_errno(errno, "read extents of", "the clone",
                      cannot ? ErrorCode::not_supported_yet : ErrorCode::image_unreadable);
  }
  ExtentBatch batch;
  batch.from = from;
  batch.end = UINT64_MAX;
  const std::size_t count = std::min<std::size_t>(map->fm_mapped_extents, at_most);
  if (count == 0) return batch;
  batch.extents.reserve(count);
  const auto* const extents = reinterpret_cast<const struct fiemap_extent*>(map + 1);
  for (std::size_t i = 0; i < count; ++i)
    batch.extents.push_back({extents[i].fe_logical, extents[i].fe_physical, extents[i].fe_length, extents[i].fe_flags});
  const MappedExtent& last = batch.extents.back();
  // A batch that is not full need not be the end: only the flag is believed.
  if ((last.flags & FIEMAP_EXTENT_LAST) == 0) batch.end = last.logical + last.length;
  if (batch.end <= from)
    return fail(ErrorCode::image_unreadable, "read extents of", "the clone", "the file system does not move on");
  return batch;
}

}  // namespace cairn
