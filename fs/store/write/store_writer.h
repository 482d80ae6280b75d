// SPDX-License-Identifier: GPL-3.0-or-later
// StoreWriter: the right to write to a store, for one backup or job: several may live at once, in one process. What is
// done with one: ingest_disk (ingest.h), the changes of points (point_lifecycle.h), collect_garbage
// (collect/garbage.h). Any thread. A writer that failed stays failed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/base/guarded.h"
#include "config/base/result.h"
#include "fs/io/backend.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class Store;
struct WriterCore;

// Packs that are not what the index says of them, as the first of a store's writers found them: names alone and sizes
// are compared, for their bytes there is verify. No new point builds on them: what is needed of them is stored anew.
struct PackFindings {
  std::vector<std::string> missing;
  std::vector<std::string> other_size;  // cut off, or grown
  [[nodiscard]] bool none() const { return missing.empty() && other_size.empty(); }
};

class StoreWriter {
 public:
  // See begin_writing(). `session`: of core->sessions, ended by this.
  StoreWriter(Store& store, std::shared_ptr<WriterCore> core, std::uint64_t session);
  ~StoreWriter();  // gives the lock back
  StoreWriter(const StoreWriter&) = delete;
  StoreWriter& operator=(const StoreWriter&) = delete;

  // Makes everything ingested durable and found, then publishes the point: the last, atomic step. Fills in
  // `previous`, `previous_name`. Errors: object_exists, no_space, io_error.
  Result<void> commit(RecoveryPoint& point);
  // Makes everything ingested so far durable and found, as commit() does before it publishes.
  Result<void> flush();
  // Changes whenever the store has lost something: a pack is gone, or the index was rebuilt. As long as it is the same,
  // everything that a point named when it was committed is still there.
  Result<std::string> epoch();
  // Keeps the point, and what it names, from being removed as long as this writer lives. Errors: point_missing.
  Result<void> hold_point(const PointName& name);

  // What its user must be told.
  [[nodiscard]] const PackFindings& pack_findings() const;

  // For fs/store alone (fs/store/write/writer_core.h).
  [[nodiscard]] Store& store() { return store_; }
  [[nodiscard]] WriterCore& core() { return *core_; }
  [[nodiscard]] std::uint64_t session() const { return session_; }

 private:
  Store& store_;
  std::shared_ptr<WriterCore> core_;
  std::uint64_t session_;
  Guarded<std::vector<std::unique_ptr<ObjectHold>>> held_;
};

// Takes the writer lock (or shares it with another writer of this very Store object), removes what an interrupted
// writer left in tmp/, and makes the index fit the packs that are there. The store must outlive the writer. `purpose`
// is shown to whoever is locked out: "backup". Errors: store_locked (says by whom), permission_denied (with a private
// index), index_damaged, io_error.
Result<std::shared_ptr<StoreWriter>> begin_writing(Store& store, const std::string& purpose);

}  // namespace cairn
