// SPDX-License-Identifier: GPL-3.0-or-later
// Ingest: one disk's way into the store, as a pipeline: readers keep several large reads under way, workers hash, look
// up and seal, the pack writer writes. Internal to fs/store; callers use StoreWriter::ingest.
#pragma once

#include "fs/store/write/carry_over.h"
#include "fs/store/write/record_sink.h"
#include "fs/store/write/store_writer.h"

namespace cairn {

// `carry_over`: where what is "as before" in the image comes from; null: nothing in it is.
// Errors: as StoreWriter::ingest. Memory: two blocks of 1 MiB (or one chunk if that is larger) for each
// worker (as many as cores, at most 4) and reader (6), the leaves being filled, and the names of complete leaves (8 MiB
// for 16 TiB in 64 KiB chunks).
Result<IngestReport> ingest_disk(RecordSink& sink, const ChunkNamer& namer, std::uint32_t chunk_size,
                                 ImageReader& image, const IngestOptions& options, CarryOver* carry_over);

}  // namespace cairn
