// SPDX-License-Identifier: GPL-3.0-or-later
// Verify: is everything still there, and as it was written? Always the structure: every point opens, the chain of
// predecessors has no gap, every pack is there with its size, every map node can be read and is what its name says,
// every chunk is in the index. With `data_percent` packs are read too, those first whose last check is longest ago.
// What is found is named as ranges of disks of points, and is kept as known damage (damage.h) until it is repaired.
// Runs beside backups, restores and mounts; the writer lock is taken only to record what was found.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "fs/file/rate_limit.h"
#include "fs/store/store.h"
#include "fs/store/verify/damage.h"

namespace cairn {

struct VerifyOptions {
  double data_percent = 0;               // 0 to 100, of the bytes in packs
  std::optional<std::uint64_t> at_most;  // bytes; a slice: instead of data_percent
  UtcTime not_since;                     // a slice leaves out packs that were checked after this; default: all are
  bool structure = true;                 // false: packs only (a slice); points of what is found are named all the same
  bool accept_gaps = false;              // gaps are noted as accepted, and reported no more
  std::uint64_t rate = 0;                // bytes a second; 0: no limit
  unsigned threads = 0;                  // 0: as many as cores, at most 4; each keeps a pack in memory (21 MiB)
  std::stop_token stop;
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;  // bytes of packs; any thread
};

struct VerifyReport {
  std::uint64_t points = 0;         // that open
  std::uint64_t disks = 0;          // maps walked, headers included
  std::uint64_t nodes = 0;          // read
  std::uint64_t chunks = 0;         // names looked up
  std::uint64_t packs = 0;          // in the index
  std::uint64_t pack_bytes = 0;     // in them
  std::uint64_t packs_read = 0;     // whole
  std::uint64_t bytes_read = 0;     // of them
  std::uint64_t new_packs = 0;      // that the index does not know yet: a backup is writing them, or was cut off
  std::uint64_t wrong_entries = 0;  // of the index: about packs that are whole
  // Why the index cannot be used, or index_outdated: points need what is in packs that it does not know. No damage:
  // the packs were gone by instead.
  std::optional<Error> index;
  Damage damage;                        // all that is known now
  std::vector<std::string> unreadable;  // what could not be read for the moment; nothing is known about it
  bool recorded = false;                // known damage and times were kept
  std::string not_recorded;             // why not
  bool complete = false;                // every pack was read and structure checked
  std::chrono::milliseconds took{0};
  [[nodiscard]] bool clean() const { return damage.none() && !index && wrong_entries == 0; }
};

// Errors: cancelled (what was done is recorded), io_error (the directory itself), those of writing the record.
Result<VerifyReport> verify_store(Store& store, const VerifyOptions& options, const Clock& clock = system_clock());

// How a job or command with this report ends. Errors: damage_found; io_error when something could not be read. An index
// that is missing, damaged or outdated is none of it: whoever ends the job tells of it.
Result<void> verdict_of(const VerifyReport& report, const std::string& store);

nlohmann::json to_json(const VerifyReport& report);

// How old what is known about the packs is. Cheap: two tables of the index.
struct VerifyAge {
  std::uint64_t packs = 0;
  std::uint64_t bytes = 0;
  std::uint64_t never_packs = 0;  // not checked since the index knows them
  std::uint64_t never_bytes = 0;
  std::optional<UtcTime> oldest;  // check, of the others
  // The oldest byte was last known to be good at this time at the latest: its check, or for packs that were never
  // checked that of one that was written later, or else the store's creation. Nothing: there are no packs.
  std::optional<UtcTime> since;
};
Result<VerifyAge> verify_age(Store& store);

// --- without any key: only the directory is needed.
struct KeylessReport {
  std::uint64_t packs = 0;
  std::uint64_t bytes = 0;
  std::vector<DamagedPack> damaged;
  std::vector<std::string> unreadable;        // "packs/ab/...: why"
  std::vector<std::string> unexpected_files;  // in packs/, that are no packs
  // Without a key only the index says which packs there must be; what it knows may be old, then there may be more.
  std::optional<std::uint64_t> expected;  // packs that it lists; nothing: it cannot be read
  std::string not_expected;               // why not
  std::vector<std::string> missing;       // of those that it lists
  std::uint64_t points = 0;               // files in points/
  [[nodiscard]] bool clean() const {      // and all is known
    return damaged.empty() && unreadable.empty() && missing.empty() && expected;
  }
  std::chrono::milliseconds took{0};
};
struct KeylessOptions {
  std::filesystem::path index_folder;  // empty: what should be there is not known
  std::uint64_t rate = 0;
  unsigned threads = 0;
  std::stop_token stop;
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};
// Errors: store_missing (no packs/ there), cancelled, io_error.
Result<KeylessReport> verify_keyless(Backend& backend, const KeylessOptions& options);
nlohmann::json to_json(const KeylessReport& report);

}  // namespace cairn
