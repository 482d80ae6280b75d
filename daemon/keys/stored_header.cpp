// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/keys/stored_header.h"

#include <memory>

#include "daemon/keys/stored_headers.h"
#include "fs/image/image_reader.h"
#include "fs/store/store.h"

namespace cairn {

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
  return [&image, start = volume.place.offset](std::uint64_t offset, MutableBytes to) {
    return image.read(start + offset, to);
  };
}

}  // namespace cairn
