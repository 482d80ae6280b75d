// Reading a volume's header as a recovery point holds it. SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>

#include "crypto/volume/unlock.h"
#include "fs/store/recovery_point.h"

namespace cairn {

class Store;

// Reads the volume's header from its own object in the point. `store` must outlive what is returned.
// Errors of reading: no_such_header, those of read_header().
ReadHeader read_stored_header(Store& store, const DiskRecord& disk, const VolumeFacts& volume,
                              const std::string& object);

}  // namespace cairn
