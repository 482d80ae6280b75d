// SPDX-License-Identifier: GPL-3.0-or-later
// The operations that are cut, made to fail and repeated. One line of the table each.
#pragma once

#include <functional>
#include <span>

#include "tests/faults/scene.h"

namespace cairn::faults {

struct Scenario {
  const char* name;
  // Makes the directory's state before the operation.
  std::function<void(Scene&)> prepare;
  // The operation; `attempt` is 0 when the fault strikes, 1 when it and more when it is run again afterwards.
  std::function<Result<void>(Scene&, int attempt)> run;
  // What must hold besides the points; may be empty.
  std::function<void(const Scene&, CaseResult&)> check = {};
  bool has_store = true;  // after `prepare`
  // False: its points can only be read as `check` does it.
  bool readable = true;
};
std::span<const Scenario> scenarios();

// What several of them begin with and do.
void must(const Result<void>& result);
void prepare_two_machines(Scene& scene);
Result<void> back_up(Scene& scene, const char* machine, unsigned generation, int second);

// Those of a store that is damaged: verify, repair, recover. scenarios() has them too.
std::span<const Scenario> damage_scenarios();

// After a fault: everything promised is there and nothing else is listed; the operation, run again, succeeds; then the
// same again, and with `rebuild` once more with an index made anew.
// `attempt`: of the repetition.
void check_afterwards(const Scenario& scenario, Scene& scene, bool rebuild, int attempt, CaseResult& result);

// A scenario prepared once; cases get copies.
class PreparedScenario {
 public:
  explicit PreparedScenario(const Scenario& scenario);
  // The scene in `root`, which must not be there yet.
  [[nodiscard]] Scene copy_to(const std::filesystem::path& root) const;
  [[nodiscard]] const Scenario& scenario() const { return scenario_; }

 private:
  const Scenario& scenario_;
  TemporaryDirectory directory_;
  Truth truth_;
};

}  // namespace cairn::faults
