// StoreWriter: the store's one writer, and Ingest: one disk's way into the store.
//   image reader -> chunker/hasher -> index lookup -> (new only) compress? -> seal -> pack writer -> disk map
// Any thread; several ingests may run at once under one writer. A writer that failed stays failed.
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <vector>

#include "config/base/result.h"
#include "fs/image/image_reader.h"
#include "fs/store/recovery_point.h"

namespace cairn {

class Store;

struct IngestOptions {
  // Ranges known to be ciphertext (sorted): never offered to the compressor.
  std::vector<ByteRange> ciphertext;
  unsigned workers = 0;                               // 0: as many as cores
  std::function<void(std::uint64_t bytes)> progress;  // bytes of the disk done since the last call; any thread
  std::stop_token stop;                               // stops at the next chunk: cancelled
};

struct IngestReport {
  MapRecord map;
  std::uint64_t read_bytes = 0;    // read from the image
  std::uint64_t new_bytes = 0;     // of chunks that the store did not have
  std::uint64_t stored_bytes = 0;  // what they take in packs
};

class StoreWriter {
 public:
  ~StoreWriter();  // gives the lock back

  // Stores the disk. Errors: cancelled, image_shrank, image_unreadable, no_space, io_error.
  // What was stored before a failure is found again by the next run.
  Result<IngestReport> ingest(ImageReader& image, const IngestOptions& options);

  // Makes everything ingested durable and found, then publishes the point: the last, atomic step. Fills in
  // `previous`, `previous_name`. Errors: point_exists, no_space, io_error.
  Result<void> commit(RecoveryPoint& point);
  // Errors: point_missing.
  Result<void> remove_point(const PointName& name);

 private:
  friend class Store;
  struct State;
  explicit StoreWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn
