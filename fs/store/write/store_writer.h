// SPDX-License-Identifier: GPL-3.0-or-later
// StoreWriter: the store's one writer, and Ingest: one disk's way into the store.
//   image reader -> chunker/hasher -> index lookup -> (new only) compress? -> seal -> pack writer -> disk map
// Any thread; several ingests may run at once under one writer. A writer that failed stays failed.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "fs/image/image_reader.h"
#include "fs/store/map/disk_reader.h"
#include "fs/store/point/point_marks.h"
#include "fs/store/point/recovery_point.h"
#include "fs/store/point/trusted_clock.h"

namespace cairn {

class Store;
struct CollectOptions;
struct CollectReport;

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
  // writer has, and be held (hold_point) before it was loaded: then everything that it names is still there.
  std::optional<IngestBase> base;
};

struct IngestReport {
  MapRecord map;
  std::uint64_t read_bytes = 0;     // read from the image
  std::uint64_t new_bytes = 0;      // of chunks that the store did not have
  std::uint64_t stored_bytes = 0;   // what they take in packs
  std::uint64_t carried_bytes = 0;  // of the disk, taken over from the base and not read
};

class StoreWriter {
 public:
  ~StoreWriter();  // gives the lock back

  // Stores the disk. Errors: cancelled, image_shrank, image_unreadable, no_space, io_error, tracking_base_lost (the
  // base's map cannot be read: ingest the image as it is, without the base).
  // What was stored before a failure is found again by the next run.
  Result<IngestReport> ingest(ImageReader& image, const IngestOptions& options);

  // Makes everything ingested durable and found, then publishes the point: the last, atomic step. Fills in
  // `previous`, `previous_name`. Errors: object_exists, no_space, io_error.
  Result<void> commit(RecoveryPoint& point);
  // Makes everything ingested so far durable and found, as commit() does before it publishes.
  Result<void> flush();
  // Changes whenever something was lost that the store had: a pack is gone, or the index was made anew. As long as it
  // is the same, everything that a point named when it was committed is still there.
  Result<std::string> epoch();
  // Keeps the point, and what it names, from being removed as long as this writer lives. Errors: point_missing.
  Result<void> hold_point(const PointName& name);
  // Removes the point's file at once, and records nothing. For tests of what is lost; see purge_point().
  // Errors: point_missing.
  Result<void> remove_point(const PointName& name);

  // --- fs/store/write/point_lifecycle.cpp. `trusted` is from judge_clock().
  // Hides the point until purge_after, then prune removes it. One that is deleted already stays as it is.
  // Errors: point_missing, point_immutable (until when), point_protected.
  Result<void> delete_point(const Deletion& deletion, UtcTime trusted);
  // Errors: point_not_deleted, point_missing.
  Result<void> undelete_point(const PointName& name);
  // Errors: point_missing, point_deleted.
  Result<void> protect_point(const Protection& protection);
  Result<void> unprotect_point(const PointName& name);
  // Removes it for good and leaves a tombstone. Errors: point_missing, point_immutable, point_protected, point_in_use.
  Result<void> purge_point(const PointName& name, const std::string& because, UtcTime now, UtcTime trusted);
  // Finishes what an interrupted call left half done: of every point whose marks do not fit what is in points/.
  Result<void> settle_marks();
  // From here on judge_clock() goes by it. Durable on return.
  Result<void> keep_clock(const ClockRecord& record);

  // --- fs/store/collect/garbage.cpp
  // Errors: collection_blocked, cancelled, no_space, io_error, those of the index.
  Result<CollectReport> collect_garbage(const CollectOptions& options);

 private:
  friend class Store;
  struct State;
  explicit StoreWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn
