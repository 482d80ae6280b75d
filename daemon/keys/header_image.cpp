// SPDX-License-Identifier: GPL-3.0-or-later
// Header areas as an image. The areas come from bytes on the disk, which may be hostile: they are clamped, sorted and
// merged before anything trusts them.
#include "daemon/keys/header_image.h"

#include <algorithm>
#include <cstring>

#include "config/base/ranges.h"
#include "crypto/volume/detached_header.h"
#include "crypto/volume/segments.h"

namespace cairn {

std::vector<ByteRange> header_areas(const VolumeFacts& volume, std::uint64_t disk_size) {
  const std::uint64_t start = volume.place.offset;
  // Another file bounds these; and segments were compared with their disk when they were laid out.
  if (!volume.detached.empty()) return tidy_ranges(volume.header, kMaxHeaderFile);
  if (!volume.segments.empty()) return tidy_ranges(volume.header, volume.place.size);
  return tidy_ranges(volume.header, start >= disk_size ? 0 : std::min(volume.place.size, disk_size - start));
}

Result<void> read_header_bytes(ImageReader& from, const VolumeFacts& volume, std::uint64_t offset, MutableBytes to) {
  if (volume.detached.empty()) return read_volume(from, volume, offset, to);
  return from.read(offset, to);
}

HeaderImage::HeaderImage(ImageReader& disk, const VolumeFacts& volume)
    : disk_(disk), volume_(volume), areas_(header_areas(volume, disk.size())) {
  if (!areas_.empty()) size_ = areas_.back().offset + areas_.back().size;
}

Result<ImageExtent> HeaderImage::extent_at(std::uint64_t offset) {
  for (const ByteRange& area : areas_) {
    if (offset < area.offset) return ImageExtent{offset, area.offset - offset, ExtentKind::hole};
    if (offset < area.offset + area.size)
      return ImageExtent{offset, area.offset + area.size - offset, ExtentKind::data};
  }
  return ImageExtent{offset, size_ - offset, ExtentKind::hole};
}

Result<void> HeaderImage::read(std::uint64_t offset, MutableBytes to) {
  while (!to.empty()) {
    CAIRN_TRY(const ImageExtent extent, extent_at(offset));
    const std::size_t length = static_cast<std::size_t>(std::min<std::uint64_t>(extent.size, to.size()));
    if (length == 0) return fail(ErrorCode::image_shrank, "read header areas", how(), "read beyond their end");
    if (extent.kind == ExtentKind::data)
      CAIRN_CHECK(read_header_bytes(disk_, volume_, offset, to.first(length)));
    else
      std::memset(to.data(), 0, length);
    offset += length;
    to = to.subspan(length);
  }
  return {};
}

}  // namespace cairn
