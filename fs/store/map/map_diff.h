// SPDX-License-Identifier: GPL-3.0-or-later
// Map diff: where two disk maps differ, by walking only names that differ. One thread.
#pragma once

#include <cstdint>
#include <functional>

#include "fs/store/map/disk_reader.h"
#include "fs/store/map/map_record.h"

namespace cairn {

// Calls `visit` with each chunk that both disks have, as long in the one as in the other, under different names;
// ascending. Errors: as ChunkSource::fetch, map_damaged, and what `visit` returns.
Result<void> visit_differences(ChunkSource& source, const MapRecord& one, const MapRecord& other,
                               std::uint32_t chunk_size, const std::function<Result<void>(ByteRange)>& visit);

}  // namespace cairn
