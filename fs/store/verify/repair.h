// SPDX-License-Identifier: GPL-3.0-or-later
// Repair of a damaged store: what verify_store() finds is replaced from intact sources, which are the damaged file
// itself, other packs of the store, and a replica (a copy of the store's directory). A new file is written and read
// back before the old one goes to quarantine (the folder aside/), where it stays until a full verify finds no damage.
// What cannot be read for the moment is left alone. Damage without an intact copy stays known; the next backup that
// finds the chunk in an image stores it again. Order and rules: fs/store/FORMAT.md "Verify and repair". One thread; it
// takes the writer lock, and no garbage collection runs beside it. The command is `cairn verify --repair`.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "fs/store/verify/verify.h"

namespace cairn {

struct RepairOptions {
  std::optional<std::filesystem::path> replica;
  VerifyOptions verify;  // of the verify before the repair; rate, stop and progress hold for the repair too
};

struct RepairReport {
  VerifyReport before;
  VerifyReport after;
  bool index_rebuilt = false;
  bool document_repaired = false;            // store.json, or its copy
  std::vector<std::string> packs_copied;     // from the replica, whole
  std::vector<std::string> packs_cleared;    // the good records are in new packs, the files in quarantine
  std::uint64_t saved_records = 0;           // out of damaged packs
  std::uint64_t found_records = 0;           // that were lost, in other packs or the replica
  std::vector<std::string> points_copied;    // from the replica
  std::vector<std::string> newest_repaired;  // machines whose record of newest points was damaged, and is written again
  std::vector<std::string> problems;         // files that could not be used, and why
};

// Verifies, repairs and verifies again. Without damage nothing is written.
// Errors: store_locked, job_conflict (a collection runs), no_space, cancelled, io_error: repairs done by then stay
// done.
//         replica_differs: the replica is of another store. target_missing: there is no such directory.
Result<RepairReport> repair_store(Store& store, const RepairOptions& options, const Clock& clock = system_clock());

// How a job with this report ends. Errors: not_repaired: some damage is left.
Result<void> verdict_of(const RepairReport& report, const std::string& store);
nlohmann::json to_json(const RepairReport& report);

}  // namespace cairn
