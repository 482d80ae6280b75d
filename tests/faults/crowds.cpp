// SPDX-License-Identifier: GPL-3.0-or-later
// Several at once: two processes that write to one store, and readers beside backups, removals, collections and
// rebuilds.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>

#include "fs/store/collect/garbage.h"
#include "fs/store/create_store.h"
#include "fs/store/verify/rebuild_index.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"
#include "tests/faults/kinds.h"
#include "tests/faults/scene.h"

namespace cairn::faults {
namespace {

void make_store(Scene& scene) {
  std::filesystem::create_directory(scene.root());
  const NewKeySlot& slot = Scene::first_slot();
  if (auto made = create_store(scene.store(), {}, {&slot, 1}); !made) throw std::runtime_error(made.error().message());
}

// Runs `work` in a process of its own; its exit code is what `work` returns, or 99 for an exception.
template <class Work>
pid_t start(Work work) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  ::alarm(120);
  try {
    ::_exit(work());
  } catch (const std::exception&) {
    ::_exit(99);
  }
}

// Negative: a signal ended it.
int end_of(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// One that finds the store locked waits for whoever has it, and loses nothing.
CaseResult two_at_once(int points) {
  const TemporaryDirectory place;
  Scene scene(place.path() / "scene");
  make_store(scene);
  const auto work = [&](const char* machine, int first) {
    for (int number = 0; number < points;) {
      const auto store = scene.open();
      if (!store) return 1;
      const auto done = scene.back_up(**store, machine, static_cast<unsigned>(number), first + number);
      if (!done && done.error().code != ErrorCode::store_locked) return 2;
      if (done)
        ++number;
      else
        ::usleep(1000);
    }
    return 0;
  };
  const pid_t one = start([&] { return work("web", 0); });
  const pid_t two = start([&] { return work("db", 1000); });
  CaseResult result;
  for (const int end : {end_of(one), end_of(two)})
    if (end != 0) result.add(Verdict::other, "a writer ended with " + std::to_string(end));
  for (int number = 0; number < points; ++number)
    for (const bool web : {true, false}) {
      const char* machine = web ? "web" : "db";
      const MemoryImage image = disk_image(machine, static_cast<unsigned>(number));
      PointTruth truth;
      truth.disks["root"] = std::make_shared<const Buffer>(image.content(0, image.size()));
      truth.standing = Standing::must;
      scene.promise(PointName{machine, test_time((web ? 0 : 1000) + number)}.text(), truth);
    }
  scene.check_points(result);
  return result;
}

struct Flags {
  std::atomic<bool> stop;
  std::atomic<std::uint64_t> reads;
};

// Readers open the store once and go on; what they read is never removed.
CaseResult read_meanwhile(std::uint64_t seed, unsigned rounds) {
  const TemporaryDirectory place;
  Scene scene(place.path() / "scene");
  make_store(scene);
  {
    const auto store = value_of(scene.open());
    for (int number = 0; number < 2; ++number)
      if (auto done = scene.back_up(*store, "stays", static_cast<unsigned>(number), number); !done)
        throw std::runtime_error(done.error().message());
  }
  void* memory = ::mmap(nullptr, sizeof(Flags), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto& flags = *new (memory) Flags{};
  const Truth stays = scene.truth();
  const auto read_again_and_again = [&] {
    const auto store = value_of(scene.open());
    do {
      for (const auto& [text, truth] : stays) {
        const auto name = PointName::parse(text);
        const auto point = store->points().load(*name);
        if (!point) return 1;
        const auto& bytes = *truth.disks.at("root");
        Buffer read(bytes.size());
        const auto got = store->open_disk(point->disks.at(0).map, text)->read(0, read);
        if (!got) return 2;
        if (*got != read.size() || read != bytes) return 3;
        ++flags.reads;
      }
    } while (!flags.stop);
    return 0;
  };
  const pid_t one = start(read_again_and_again);
  const pid_t two = start(read_again_and_again);

  CaseResult result;
  const auto store = value_of(scene.open());
  std::mt19937_64 random(seed);
  const auto expect = [&](const auto& outcome, const char* what) {
    if (!outcome) result.add(Verdict::other, std::string(what) + ": " + outcome.error().message());
  };
  for (unsigned round = 0; round < rounds; ++round) {
    const int second = static_cast<int>(100 + round);
    expect(scene.back_up(*store, "goes", static_cast<unsigned>(random() % 10), second), "backup");
    const PointName name{"goes", test_time(second)};
    {
      const auto writer = value_of(begin_writing(*store, "faults"));
      expect(remove_point(*writer, name), "remove");
      scene.promise(name.text(), Standing::hidden);
      CollectOptions options;
      options.rewrite_below = 0.9;
      expect(collect_garbage(*writer, options), "gc");
    }
    if (random() % 3 == 0) expect(rebuild_index(*store), "rebuild-index");
  }
  flags.stop = true;
  for (const int end : {end_of(one), end_of(two)}) {
    if (end == 3)
      result.add(Verdict::wrong, "a reader got other bytes");
    else if (end > 0)
      result.add(Verdict::lost, "a reader could not read, step " + std::to_string(end));
    else if (end < 0)
      result.add(Verdict::other, "a reader was ended by signal " + std::to_string(-end));
  }
  scene.check_points(*store, result);
  result.points += static_cast<std::uint32_t>(flags.reads);
  ::munmap(memory, sizeof(Flags));
  return result;
}

}  // namespace

Tally two_writers(const Options& options) {
  Tally tally;
  const std::size_t cases = options.quick ? 1 : 10;
  run_cases(
      tally, cases, options, [&](std::size_t) { return two_at_once(options.quick ? 4 : 12); },
      [](std::size_t number) { return "round " + std::to_string(number); }, std::chrono::seconds(150));
  return tally;
}

Tally readers_meanwhile(const Options& options) {
  Tally tally;
  const std::size_t cases = options.quick ? 1 : 12;
  run_cases(
      tally, cases, options,
      [&](std::size_t number) { return read_meanwhile(options.seed + number, options.quick ? 8 : 40); },
      [](std::size_t number) { return "round " + std::to_string(number); }, std::chrono::seconds(150));
  return tally;
}

}  // namespace cairn::faults
