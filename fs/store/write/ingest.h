// SPDX-License-Identifier: GPL-3.0-or-later
// Ingest: one disk's way into the store, as a pipeline: readers keep several large reads under way, workers hash, look
// up and seal, the pack writer writes.
//   image reader -> chunker/hasher -> index lookup -> (new only) compress? -> seal -> pack writer -> disk map
// Any thread; several may run at once under one writer. Memory: two blocks of 1 MiB (or one chunk if that is larger)
// for each worker (as many as cores, at most 4) and reader (6), the leaves being filled, and the names of complete
// leaves (8 MiB for 16 TiB in 64 KiB chunks).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <vector>

#include "config/base/result.h"
#include "fs/image/image_reader.h"
#include "fs/store/map/map_record.h"
#include "fs/store/pack/chunk_source.h"

namespace cairn {

class StoreWriter;

// An earlier point's disk, for images that say "as before" (TrackedImage): what is as before is taken over from it by
// name and not read. `source` (the store) must outlive the ingest.
struct IngestBase {
  ChunkSource* source = nullptr;
  MapRecord map;
};

struct IngestOptions {
  // Ranges known to be ciphertext (sorted): never offered to the compressor.
  std::vector<ByteRange> ciphertext;
  unsigned workers = 0;                               // 0: as many as cores
  std::function<void(std::uint64_t bytes)> progress;  // bytes of the disk done since the last call; any thread
  std::stop_token stop;                               // stops at the next chunk: cancelled
  // Must be there when the image says "as before". The base must have been committed under the epoch() that this
  // writer has, and be held (StoreWriter::hold_point) before it was loaded: then everything that it names is still
  // there.
  std::optional<IngestBase> base;
};

struct IngestReport {
  MapRecord map;
  std::uint64_t read_bytes = 0;     // read from the image
  std::uint64_t new_bytes = 0;      // of chunks that the store did not have
  std::uint64_t stored_bytes = 0;   // what they take in packs
  std::uint64_t carried_bytes = 0;  // of the disk, taken over from the base and not read
};

// Stores the disk. Errors: cancelled, image_shrank, image_unreadable, no_space, io_error, tracking_base_lost (the
// base's map cannot be read: ingest the image as it is, without the base).
// What was stored before a failure is found again by the next run.
Result<IngestReport> ingest_disk(StoreWriter& writer, ImageReader& image, const IngestOptions& options);

}  // namespace cairn
