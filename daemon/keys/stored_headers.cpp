// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/keys/stored_headers.h"

#include <fmt/core.h>

#include <memory>

#include "crypto/volume/segments.h"
#include "daemon/keys/detached_file.h"
#include "daemon/keys/header_image.h"
#include "fs/image/image_reader.h"
#include "fs/store/map/disk_reader.h"
#include "fs/store/store.h"

namespace cairn {

Result<std::vector<StoredHeader>> stored_headers(const DiskRecord& disk, const PointName& point) {
  std::vector<StoredHeader> headers;
  bool fit = true;
  for (const VolumeFacts& volume : disk.facts.volumes) {
    std::vector<ByteRange> areas = header_areas(volume, disk.map.size);
    if (areas.empty()) continue;
    const std::size_t index = headers.size();
    const HeaderRecord* const header = disk.header_of(volume);
    fit = header != nullptr && header == &disk.headers[index] &&
          header->map.size == areas.back().offset + areas.back().size;
    if (!fit) break;
    headers.push_back({&volume, header, std::move(areas)});
  }
  if (!fit || headers.size() != disk.headers.size())
    return fail(
        ErrorCode::point_damaged, "find the headers of", fmt::format("{}/{}", point.text(), disk.name),
        fmt::format("it has {} headers, of which {} are those of its volumes", disk.headers.size(), headers.size()));
  return headers;
}

Result<void> read_header(DiskReader& header, std::uint64_t offset, MutableBytes to) {
  while (!to.empty()) {
    CAIRN_TRY(const std::size_t got, header.read(offset, to));
    if (got == 0) return fail(ErrorCode::map_damaged, "read header", header.object(), "it ends before its areas do");
    offset += got;
    to = to.subspan(got);
  }
  return {};
}

ReadHeader read_stored_header(Store& store, const DiskRecord& disk, const VolumeFacts& volume,
                              const std::string& object) {
  const HeaderRecord* header = disk.header_of(volume);
  if (header == nullptr)
    return [object](std::uint64_t, MutableBytes) -> Result<void> {
      return fail(ErrorCode::no_such_header, "read header of", object, "the recovery point has none for this volume");
    };
  std::shared_ptr<DiskReader> reader = store.open_disk(header->map, object);
  return [reader](std::uint64_t offset, MutableBytes to) { return read_header(*reader, offset, to); };
}

ReadHeader read_live_header(ImageReader& image, const VolumeFacts& volume) {
  if (volume.detached.empty())
    return [&image, volume](std::uint64_t offset, MutableBytes to) { return read_volume(image, volume, offset, to); };
  // Opened when it is first asked for, and once: one on the disk itself is looked for in a file system.
  return [&image, volume, file = std::shared_ptr<ImageReader>()](std::uint64_t offset,
                                                                 MutableBytes to) mutable -> Result<void> {
    if (!file) {
      CAIRN_TRY(file, open_detached_header(volume.detached, image, volume.detached));
    }
    return read_header_bytes(*file, volume, offset, to);
  };
}

}  // namespace cairn
