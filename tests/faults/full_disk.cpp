// SPDX-License-Identifier: GPL-3.0-or-later
// A small file system of its own runs full: the backup ends with an error, nothing is lost, and there is room to prune.
#include "config/base/units.h"
#include "fs/store/collect/garbage.h"
#include "fs/store/create_store.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"
#include "tests/faults/kinds.h"
#include "tests/faults/scene.h"
#include "tests/support/sandbox.h"

namespace cairn::faults {
namespace {

std::vector<std::string> options_of(const std::string& mkfs) {
  if (mkfs == "mkfs.ext4") return {mkfs, "-q", "-F"};
  return {mkfs, "-q"};
}

CaseResult fill_up(const std::filesystem::path& at, std::uint64_t seed) {
  CaseResult result;
  Scene scene(at / "scene");
  std::filesystem::create_directory(scene.root());
  const NewKeySlot& slot = Scene::first_slot();
  if (auto made = create_store(scene.store(), {}, {&slot, 1}); !made) throw std::runtime_error(made.error().message());
  std::mt19937_64 random(seed);
  const auto store = value_of(scene.open());
  std::optional<Error> stopped;
  int second = 0;
  for (; second < 4000 && !stopped; ++second) {
    // A machine of its own each time: nothing is shared.
    const std::string machine = "vm-" + std::to_string(random() % 1'000'000);
    if (auto done = scene.back_up(*store, machine, 0, second); !done) stopped = done.error();
  }
  if (!stopped) return result.add(Verdict::other, "the file system never ran full"), result;
  if (stopped->code != ErrorCode::no_space && stopped->code != ErrorCode::space_reserved)
    result.add(Verdict::other, "it ends with another error: " + stopped->message());
  scene.check_points(*store, result);

  // Everything is removed but the first: what prune does needs some room itself.
  std::vector<std::string> going;
  for (const auto& [point, truth] : scene.truth())
    if (truth.standing == Standing::must) going.push_back(point);
  going.resize(going.size() - 1);
  const auto writer = begin_writing(*store, "faults");
  if (!writer) return result.add(Verdict::other, "nobody can write any more: " + writer.error().message()), result;
  for (const std::string& point : going) {
    scene.promise(point, Standing::hidden);
    if (auto removed = remove_point(**writer, *PointName::parse(point)); !removed)
      result.add(Verdict::other, "a point cannot be removed: " + removed.error().message());
  }
  if (const auto collected = collect_garbage(**writer, {}); !collected)
    result.add(Verdict::other, "space cannot be reclaimed: " + collected.error().message());
  if (auto done = scene.back_up(*store, "after", 0, second); !done)
    result.add(Verdict::other, "there is no room for a backup afterwards: " + done.error().message());
  scene.check_points(*store, result);
  return result;
}

}  // namespace

Tally full_disk(const Options& options) {
  Tally tally;
  if (!testing::is_root()) {
    tally.skipped = "not root: no file system can be mounted";
    return tally;
  }
  const std::size_t cases = options.quick ? 1 : 4;
  run_cases(
      tally, cases, options,
      [&](std::size_t number) {
        const testing::Sandbox here;
        std::filesystem::create_directory(here / "fs");
        const char* mkfs = number % 2 == 0 ? "mkfs.ext4" : "mkfs.xfs";
        const std::uint64_t size = number % 2 == 0 ? 64 * kMiB : 320 * kMiB;
        const testing::MountedFileSystem mounted(here / "image", size, options_of(mkfs), here / "fs");
        if (!mounted.ok()) throw std::runtime_error(mounted.reason());
        return fill_up(here / "fs", options.seed + number);
      },
      [](std::size_t number) { return "file system " + std::to_string(number); }, std::chrono::seconds(200));
  return tally;
}

}  // namespace cairn::faults
