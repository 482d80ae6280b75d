// SPDX-License-Identifier: GPL-3.0-or-later
// Prune: applies the policies to what is in the store: hides what has expired, removes for good what was hidden long
// enough, and gives its space back. Rules: config/REFERENCE.md "Retention". Running it twice is as good as once.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "config/base/result.h"
#include "config/settings.h"
#include "fs/store/point/trusted_clock.h"

namespace cairn {

class JobContext;
class Store;

// When garbage is collected.
enum class Collect {
  always,
  when_needed,  // something was removed, or packs wait since the last time
};

struct PruneTask {
  std::optional<std::string> machine;  // nothing: all, also those that are not in the settings any more
  bool dry_run = false;                // says what would be done
  bool accept_clock = false;
  bool accept_damage = false;
  std::uint64_t rate = 0;  // bytes a second; 0: no limit
  Collect collect = Collect::always;
  std::chrono::seconds wait{0};  // for another process that writes to the store; not with dry_run
};

struct PruneInputs {
  Store& store;
  std::shared_ptr<const Settings> settings;
  ClockReading clock;
};

// The job's result (daemon/API.md "Result of a prune"). Warnings go to `job`.
// Errors: clock_jumped (nothing was done; not with dry_run), no_such_machine, store_locked, cancelled, no_space,
// io_error. A collection that is blocked (by damage, a repair, another collection) is a warning: the points are removed
// all the same, and their space comes back with the next collection.
Result<nlohmann::json> run_prune(const PruneTask& task, const PruneInputs& inputs, JobContext& job);

}  // namespace cairn
