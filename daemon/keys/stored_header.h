// SPDX-License-Identifier: GPL-3.0-or-later
// Reading a volume's header, as a recovery point holds it and as it is on the disk.
#pragma once

#include <string>

#include "crypto/volume/unlock.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class ImageReader;
class Store;

// Reads the volume's header from its own object in the point. `store` must outlive what is returned.
// Errors of reading: no_such_header, those of read_header().
ReadHeader read_stored_header(Store& store, const DiskRecord& disk, const VolumeFacts& volume,
                              const std::string& object);

// Reads the volume's header from the disk. `image` must outlive what is returned. Errors of reading: ImageReader's.
ReadHeader read_live_header(ImageReader& image, const VolumeFacts& volume);

}  // namespace cairn
