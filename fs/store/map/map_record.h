// SPDX-License-Identifier: GPL-3.0-or-later
// MapRecord: where a disk map begins, as recovery points keep it. Bytes: fs/store/FORMAT.md "Recovery point".
#pragma once

#include <cstdint>

#include "crypto/chunk_name.h"

namespace cairn {

// Something stored as a disk map: a disk, or the header areas of one of its volumes.
struct MapRecord {
  std::uint64_t size = 0;        // bytes
  std::uint64_t data_bytes = 0;  // bytes in chunks that are not all zero: what it takes when copied sparse
  ChunkName root;                // zero: all of it is zero
};

}  // namespace cairn
