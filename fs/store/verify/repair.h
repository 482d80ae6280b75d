// SPDX-License-Identifier: GPL-3.0-or-later
// Repair: mends what a verify finds, from what is intact: the damaged file itself, other packs of the store, and a
// replica, which is a copy of the store's directory. What is new is written and read back before what is old goes; what
// is old is kept in aside/ until a later verify of everything finds no damage. What cannot be read for the moment is
// left alone. What no copy of is found stays known as damage; the next backup that meets it in an image stores it anew.
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
  VerifyOptions verify;  // how it is looked for damage first; rate, stop and progress hold for the repair too
};

struct RepairReport {
  VerifyReport before;
  VerifyReport after;
  bool index_rebuilt = false;
  bool document_mended = false;            // store.json, or its copy
  std::vector<std::string> packs_copied;   // from the replica, whole
  std::vector<std::string> packs_cleared;  // what was good in them is in new packs, the files are in aside/
  std::uint64_t saved_records = 0;         // out of damaged packs
  std::uint64_t found_records = 0;         // that were lost, in other packs or the replica
  std::vector<std::string> points_copied;  // from the replica
  std::vector<std::string> newest_mended;  // machines whose record of newest points was damaged, and is made anew
  std::vector<std::string> problems;       // files that could not be used, and why
};

// Errors: store_locked, no_space, cancelled and other failures of writing: what was mended by then is mended.
// replica_differs: it is another store's. target_missing: it is not there.
Result<RepairReport> repair_store(Store& store, const RepairOptions& options, const Clock& clock = system_clock());

// How a job with this report ends. Errors: not_repaired.
Result<void> verdict_of(const RepairReport& report, const std::string& store);
nlohmann::json to_json(const RepairReport& report);

}  // namespace cairn
