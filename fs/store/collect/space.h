// SPDX-License-Identifier: GPL-3.0-or-later
// Space: what of a store's size is needed by what. Walks all disk maps, each shared subtree once a machine. Memory: 2.1
// bytes a record, and 12 bytes a pack number.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "fs/io/backend.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class Store;

// All in bytes; those of chunks are sealed ones, as they lie in packs.
struct MachineSpace {
  std::string machine;
  std::uint64_t points = 0;   // not deleted
  std::uint64_t logical = 0;  // sum of the sizes of their disks
  std::uint64_t unique = 0;   // chunks that no other machine's points need
  std::uint64_t shared = 0;   // chunks that others' points need too
};

struct SpaceReport {
  UtcTime measured;
  std::uint64_t points = 0;            // not deleted
  std::uint64_t deleted_points = 0;    // can still be brought back
  std::uint64_t logical = 0;           // sum of the sizes of all disks of all points that are not deleted
  std::uint64_t stored = 0;            // in packs
  std::uint64_t needed = 0;            // by points that are not deleted
  std::uint64_t deleted = 0;           // needed by nothing but deleted points
  std::uint64_t reclaimable = 0;       // the rest of `stored`, and what points that are due need alone
  std::uint64_t next_prune_frees = 0;  // of that: packs of which too much is still needed stay
  std::uint64_t unreadable_points = 0;
  std::vector<MachineSpace> machines;  // by name
};
nlohmann::json to_json(const SpaceReport& report);

// The last measurement is kept in the store (object `space`), so that a status need not walk maps. Null: there is none,
// or it cannot be read. Errors: io_error.
Result<nlohmann::json> kept_space(Store& store);
Result<void> keep_space(Store& store, const SpaceReport& report);

// What the file system of the store's objects has left; nothing: it has no limit, or does not say. Errors: io_error.
Result<std::optional<Backend::Space>> free_space(Store& store);

struct SpaceOptions {
  UtcTime now;
  std::set<PointName> due;  // what the next prune removes for good
  double rewrite_below = 0.5;
  std::stop_token stop;
};

// Deleted points whose time has come.
Result<std::set<PointName>> due_points(Store& store, UtcTime now);
// What damage hides is not counted. Errors: cancelled, io_error, those of the index.
Result<SpaceReport> measure_space(Store& store, const SpaceOptions& options);

}  // namespace cairn
