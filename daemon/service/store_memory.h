// SPDX-License-Identifier: GPL-3.0-or-later
// StoreMemory: what this host remembers of each machine's points in a store, in a file of its own in `state_dir`, and
// whether the store is older than that. The file, and the rules: daemon/service/MEMORY.md. Any thread, any process:
// each call reads the file and writes it under a lock.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "fs/store/verify/rollback.h"

namespace cairn {

class Store;

// How the store compares with what this host remembers.
struct StoreAge {
  // Why that is not known; empty: it was compared.
  std::string unknown_because;
  std::optional<UtcTime> since;                              // when this host saw the store first
  std::map<std::string, std::vector<std::string>> findings;  // by machine: what is older, sentences without an end

  [[nodiscard]] bool older() const { return !findings.empty(); }
  // store_rolled_back: all that was found of `machine`, or of all. Nothing: nothing was found.
  [[nodiscard]] std::optional<Error> error(const std::string& store, const std::string& machine = {}) const;
};

// "status".rollback:
// {"state":"as-known"|"older"|"unknown","because","since","machines":[{"machine","findings":[TEXT]}],
// "error":Error|null}
nlohmann::json to_json(const StoreAge& age, const std::string& store);

class StoreMemory {
 public:
  // Both must outlive this. `state_dir`: empty: there is none, and nothing is remembered.
  StoreMemory(std::filesystem::path state_dir, Store& store, const Clock& clock);

  // Compares, and remembers what is new. Never fails: what cannot be known is said. Without the right to write, or
  // space, it compares all the same.
  StoreAge look();
  // What is in the store now is right: of `machine`, or of all, it alone is remembered. The machines of which something
  // is forgotten so. Errors: permission_denied, no_space, io_error, those of listing; no_such_machine.
  Result<std::vector<std::string>> accept(const std::optional<std::string>& machine);

 private:
  struct Remembered {
    std::optional<UtcTime> since;
    StoreMemories machines;
  };
  [[nodiscard]] Result<Remembered> load() const;
  Result<void> save(const Remembered& remembered) const;
  Result<std::map<std::string, std::vector<std::string>>> judge(const Remembered& before, Remembered& next);

  std::filesystem::path state_dir_;
  Store& store_;
  const Clock& clock_;
};

}  // namespace cairn
