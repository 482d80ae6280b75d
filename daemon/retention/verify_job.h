// SPDX-License-Identifier: GPL-3.0-or-later
// The verify job: is everything still there, and as it was written; and repairing it. What it does:
// fs/store/verify/verify.h, fs/store/verify/repair.h. Result: daemon/API.md "Verify".
#pragma once

#include <chrono>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "config/base/result.h"
#include "fs/store/verify/verify.h"

namespace cairn {

class JobContext;

struct VerifyTask {
  VerifyOptions options;  // stop and progress are the job's
  bool repair = false;
  std::optional<std::filesystem::path> replica;  // with repair
  std::chrono::seconds wait{0};                  // with repair: for another process that writes to the store
};

// The report. When there is damage the job fails and keeps its report all the same (JobContext::keep_result).
// Errors: damage_found, not_repaired, io_error, cancelled, those of repair_store.
Result<nlohmann::json> run_verify(Store& store, const VerifyTask& task, const Clock& clock, JobContext& job);

}  // namespace cairn
