// SPDX-License-Identifier: GPL-3.0-or-later
// Garbage collection: gives back the space of what no recovery point needs. Marks by walking disk maps, each shared
// node once; removes packs of which nothing is needed and rewrites those of which little is. Runs beside backups,
// restores and mounts. Protocol and proof: fs/store/FORMAT.md "Garbage collection".
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>

#include "config/base/result.h"

namespace cairn {

class Store;
class StoreWriter;

struct CollectOptions {
  bool dry_run = false;        // counts only
  bool accept_damage = false;  // what lies below a damaged node or point, and nowhere else, is given up
  // A pack of which at most this share of the bytes is needed is rewritten; 0: never.
  double rewrite_below = 0.5;
  std::uint64_t rate = 0;  // bytes a second, read and written; 0: no limit
  std::stop_token stop;    // cancelled; what was done stays done, and the next run goes on
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;  // points while marking, then packs
};

struct CollectReport {
  std::uint64_t points = 0;         // marked
  std::uint64_t needed_chunks = 0;  // distinct chunks and nodes that some point needs
  std::uint64_t needed_bytes = 0;   // their sealed bytes
  std::uint64_t packs_before = 0;   // in the index
  std::uint64_t bytes_before = 0;   // in packs
  std::uint64_t removed_packs = 0;  // files removed, rewritten ones included
  std::uint64_t freed_bytes = 0;    // of the removed packs, less what was written anew
  std::uint64_t rewritten_packs = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t waiting_packs = 0;  // not needed, but a backup that runs may have counted on them: the next run's
  std::uint64_t waiting_bytes = 0;
  std::uint64_t unneeded_bytes = 0;  // sealed bytes in packs that are kept although no point needs them
  std::uint64_t missing_chunks = 0;  // named by a point and not in the store
  std::uint64_t memory_bytes = 0;    // of the marks
};

// One at a time, and none beside a repair. Errors: collection_blocked (damage hides what is needed),
// job_conflict (another collection or a repair is under way: says which), cancelled, no_space, io_error, those of the
// index.
Result<CollectReport> collect_garbage(StoreWriter& writer, const CollectOptions& options);
// Whether packs wait for a garbage collection that could not remove them yet. Errors: those of the index.
Result<bool> garbage_waiting(Store& store);

}  // namespace cairn
