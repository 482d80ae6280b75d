// SPDX-License-Identifier: GPL-3.0-or-later
// The N-th call of an operation fails, for every N: once, or from then on. And then, in a second kind of case, the
// operation is run again, which succeeds, and the power is cut: what it reported must not rest on what failed before.
#include "tests/faults/cut_disk.h"
#include "tests/faults/kinds.h"
#include "tests/faults/scenarios.h"

namespace cairn::faults {
namespace {

std::map<Flavour, std::uint64_t> count_calls(const PreparedScenario& prepared) {
  const TemporaryDirectory place;
  Scene scene = prepared.copy_to(place.path() / "scene");
  const Watch watch(scene.root());
  if (auto done = prepared.scenario().run(scene, 0); !done) throw std::runtime_error(done.error().message());
  std::map<Flavour, std::uint64_t> calls;
  for (const Flavour flavour : kAllFlavours) calls[flavour] = watch.calls(flavour);
  return calls;
}

struct FailingCase {
  Fault fault;
  bool then_cut = false;
};

CaseResult run_failing(const PreparedScenario& prepared, const FailingCase& failing, bool rebuild) {
  const Fault& fault = failing.fault;
  const Scenario& scenario = prepared.scenario();
  const TemporaryDirectory place;
  Scene scene = prepared.copy_to(place.path() / "scene");
  CaseResult result;
  std::filesystem::path root = scene.root();
  {
    Watch watch(root, fault);
    scene.set_watch(&watch);
    const auto done = scenario.run(scene, 0);
    if (!done && done.error().code == ErrorCode::internal)
      result.add(Verdict::other, "it fails as an error of our own: " + done.error().message());
    if (failing.then_cut) {
      watch.disarm();
      if (const auto again = scenario.run(scene, 1); !again)
        result.add(Verdict::other, "run again, it fails: " + again.error().message());
    }
    const auto start = watch.start();
    const auto log = watch.take_log();
    scene.stop_watching();
    // After a failed fsync the kernel forgets what it could not write: the next power cut shows it.
    if (fault.flavour == Flavour::sync_failed || failing.then_cut) {
      CutDisk disk(start);
      for (const Operation& operation : log) disk.apply(operation);
      std::mt19937_64 random(fault.at);
      root = place.path() / "after";
      disk.materialize(root, Unsynced::dropped, random);
    }
  }
  scene = scene.at(root, scene.truth());
  check_afterwards(scenario, scene, rebuild, failing.then_cut ? 2 : 1, result);
  return result;
}

Tally fail_calls(const Scenario& scenario, const Options& options) {
  const PreparedScenario prepared(scenario);
  std::vector<FailingCase> faults;
  std::mt19937_64 random(options.seed);
  for (const auto& [flavour, calls] : count_calls(prepared)) {
    const std::uint64_t stride = options.quick ? std::max<std::uint64_t>(1, calls / 3) : 1;
    for (std::uint64_t at = options.quick && calls != 0 ? random() % stride : 0; at < calls; at += stride) {
      faults.push_back({{flavour, at, false}, false});
      // A call that is interrupted for ever would be tried again for ever.
      if (flavour != Flavour::interrupted && (!options.quick || random() % 2 == 0))
        faults.push_back({{flavour, at, true}, false});
      const bool as_if_killed = flavour == Flavour::io_error;
      if (as_if_killed || flavour == Flavour::sync_failed) faults.push_back({{flavour, at, as_if_killed}, true});
    }
  }
  const auto name = [&](std::size_t number) {
    const Fault& fault = faults[number].fault;
    return std::string(scenario.name) + ", " + to_string(fault.flavour) +
           (fault.lasting ? " from call " : " at call ") + std::to_string(fault.at) +
           (faults[number].then_cut ? ", again, cut" : "");
  };
  Tally tally;
  run_cases(
      tally, faults.size(), options,
      [&](std::size_t number) { return run_failing(prepared, faults[number], number % 8 == 0); }, name);
  return tally;
}

}  // namespace

Tally failing_calls(const Options& options) {
  Tally tally;
  for (const Scenario& scenario : scenarios())
    if (options.only.empty() || options.only == scenario.name) tally.add(fail_calls(scenario, options));
  return tally;
}

}  // namespace cairn::faults
