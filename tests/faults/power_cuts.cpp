// SPDX-License-Identifier: GPL-3.0-or-later
// Every operation is recorded once; then, for each of its calls, the disk is as it is when the power goes there.
#include "tests/faults/cut_disk.h"
#include "tests/faults/kinds.h"
#include "tests/faults/scenarios.h"

namespace cairn::faults {
namespace {

struct Recording {
  std::vector<StartObject> start;
  std::vector<Operation> log;
  Scene scene;
};

struct Cut {
  std::size_t operations = 0;  // that happened
  Unsynced unsynced{};
  std::uint64_t seed = 0;
};

const char* to_string(Unsynced unsynced) {
  constexpr const char* kWords[] = {"dropped", "kept", "mixed"};
  return kWords[static_cast<int>(unsynced)];
}

Recording record(const PreparedScenario& prepared, const std::filesystem::path& root) {
  Scene scene = prepared.copy_to(root);
  Watch watch(root);
  scene.set_watch(&watch);
  if (auto done = prepared.scenario().run(scene, 0); !done)
    throw std::runtime_error(std::string(prepared.scenario().name) + ": " + done.error().message());
  Recording recording{watch.start(), watch.take_log(), scene};
  recording.scene.stop_watching();
  return recording;
}

Tally cut(const Scenario& scenario, const Options& options) {
  const PreparedScenario prepared(scenario);
  const TemporaryDirectory scratch;
  const Recording recording = record(prepared, scratch.path() / "recorded");
  const CutDisk at_start(recording.start);

  const std::size_t mixes = options.quick ? 1 : 6;
  const std::size_t stride = options.quick ? std::max<std::size_t>(1, recording.log.size() / 8) : 1;
  std::mt19937_64 random(options.seed);
  std::vector<Cut> cuts;
  for (std::size_t operations = options.quick ? random() % stride : 0; operations <= recording.log.size();
       operations += stride) {
    cuts.push_back({operations, Unsynced::dropped, 0});
    cuts.push_back({operations, Unsynced::kept, 0});
    for (std::size_t mix = 0; mix < mixes; ++mix) cuts.push_back({operations, Unsynced::mixed, random()});
  }
  const auto run = [&](std::size_t number) {
    const Cut& cut = cuts[number];
    CutDisk disk = at_start;
    for (std::size_t i = 0; i < cut.operations; ++i) disk.apply(recording.log[i]);
    const TemporaryDirectory place;
    std::mt19937_64 mixing(cut.seed);
    const std::filesystem::path root = place.path() / "scene";
    disk.materialize(root, cut.unsynced, mixing);
    Scene scene = recording.scene.at(root, recording.scene.truth_after(cut.operations));
    CaseResult result;
    check_afterwards(scenario, scene, !options.quick || number % 4 == 0, 1, result);
    return result;
  };
  const auto name = [&](std::size_t number) {
    const Cut& cut = cuts[number];
    return std::string(scenario.name) + ", cut after " + std::to_string(cut.operations) + " of " +
           std::to_string(recording.log.size()) + ", unsynced " + to_string(cut.unsynced) + " " +
           std::to_string(cut.seed);
  };
  Tally tally;
  run_cases(tally, cuts.size(), options, run, name);
  return tally;
}

}  // namespace

Tally power_cuts(const Options& options) {
  Tally tally;
  for (const Scenario& scenario : scenarios())
    if (options.only.empty() || options.only == scenario.name) tally.add(cut(scenario, options));
  return tally;
}

}  // namespace cairn::faults
