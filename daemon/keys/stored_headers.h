// SPDX-License-Identifier: GPL-3.0-or-later
// Stored headers: which volume of a disk each header in a recovery point is of, and its bytes; and the same bytes on
// the disk itself. A header is found by its volume (DiskRecord::header_of), here and nowhere else. Any thread.
#pragma once

#include <string>
#include <vector>

#include "config/base/bytes.h"
#include "config/base/result.h"
#include "crypto/volume/unlock.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class DiskReader;
class ImageReader;
class Store;

// Borrows the disk record that it was found in.
struct StoredHeader {
  const VolumeFacts* volume = nullptr;
  const HeaderRecord* record = nullptr;
  std::vector<ByteRange> areas;  // as header_areas()
};

// A disk's headers, in the order of its volumes. A backup stores one for each volume that has header areas, in that
// order. Empty: the disk is not encrypted. `point` names it in errors.
// Errors: point_damaged (the headers are not those of the volumes).
Result<std::vector<StoredHeader>> stored_headers(const DiskRecord& disk, const PointName& point);

// Fills `to` from `offset`, all of it. Errors: map_damaged (the header ends before), those of DiskReader::read.
Result<void> read_header(DiskReader& header, std::uint64_t offset, MutableBytes to);

// Reads the volume's header from its own object in the point. `store` must outlive what is returned.
// Errors of reading: no_such_header, those of read_header().
ReadHeader read_stored_header(Store& store, const DiskRecord& disk, const VolumeFacts& volume,
                              const std::string& object);

// Reads the volume's header from the disk. `image` must outlive what is returned. Errors of reading: ImageReader's.
ReadHeader read_live_header(ImageReader& image, const VolumeFacts& volume);

}  // namespace cairn
