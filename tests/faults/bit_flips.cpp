// SPDX-License-Identifier: GPL-3.0-or-later
// One bit of one byte of a small store is flipped: what is read is right, or an error names what is damaged.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include <fstream>
#include "config/base/unique_fd.h"

#include "fs/store/create_store.h"
#include "fs/store/verify/rebuild_index.h"
#include "fs/store/write/ingest.h"
#include "fs/store/write/store_writer.h"
#include "tests/faults/kinds.h"
#include "tests/faults/scene.h"
#include "tests/support/sandbox.h"

namespace cairn::faults {
namespace {

constexpr const char* kReaderTable = "index/lock.mdb";
// Of LMDB's table of readers the head and the first slots are flipped whole, and of the free slots, which are all
// alike, each so many-th run of bytes. With --hours all are.
constexpr std::size_t kReadersWhole = 4096;
constexpr std::size_t kReadersOneOf = 16;
// Of the index's bytes each is flipped and the store read; and each so many-th is flipped, and the store written to and
// its index made anew, which takes ten times as long. With --hours all are.
constexpr unsigned kWrittenOneOf = 16;

struct Flip {
  std::string file;  // below the store
  std::size_t from = 0;
  std::size_t to = 0;  // a case flips each byte of this range in turn
};

// As small as a store gets: one point with a chunk of text, a chunk of 300 random bytes, and nothing.
void make_small_store(Scene& scene) {
  const NewKeySlot& slot = Scene::first_slot();
  if (auto made = create_store(scene.store(), {}, {&slot, 1}); !made) throw std::runtime_error(made.error().message());
  const auto store = value_of(scene.open());
  const auto writer = value_of(begin_writing(*store, "faults"));
  for (int number = 0; number < 2; ++number) {
    MemoryImage image(3 * kMinChunkSize + 300);
    Buffer text(5000, static_cast<std::uint8_t>('a' + number));
    image.write(0, text);
    image.fill_random(3 * kMinChunkSize, 300, 5);
    RecoveryPoint point;
    point.name = {"vm", test_time(number)};
    PointTruth truth;
    truth.disks["root"] = std::make_shared<const Buffer>(image.content(0, image.size()));
    truth.standing = Standing::must;
    scene.promise(point.name.text(), truth);
    point.disks.push_back({"root", value_of(ingest_disk(*writer, image, {})).map, {}, {}});
    if (auto done = writer->commit(point); !done) throw std::runtime_error(done.error().message());
  }
}

std::string name_of(const Error& error) {
  return std::string(error.name()) + ": " + error.message();
}

// Errors name the object: a path, a point, a chunk.
bool names_something(const Error& error) {
  return !error.object.empty();
}

// Reads all points that can be listed. Wrong bytes are the only thing that must not be.
void read_damaged(const Scene& scene, CaseResult& result) {
  const auto judge = [&](const Error& error) {
    if (!names_something(error)) result.add(Verdict::other, "an error names no object: " + name_of(error));
  };
  const auto store = scene.open();
  if (!store) return judge(store.error());
  const auto points = (*store)->points().list();
  if (!points) return judge(points.error());
  for (const auto& [text, truth] : scene.truth()) {
    ++result.points;
    const auto name = PointName::parse(text);
    const auto point = (*store)->points().load(*name);
    if (!point) {
      judge(point.error());
      continue;
    }
    const auto& bytes = *truth.disks.at("root");
    Buffer read(bytes.size());
    const auto got = (*store)->open_disk(point->disks.at(0).map, text)->read(0, read);
    if (!got)
      judge(got.error());
    else if (*got != read.size() || read != bytes)
      result.add(Verdict::wrong, text + " has other bytes");
  }
}

// The index is only a cache: whatever was flipped in it, a new one gives everything back.
void write_and_rebuild(Scene& scene, CaseResult& result) {
  {
    const auto store = scene.open();
    if (!store) return result.add(Verdict::lost, "the store does not open: " + name_of(store.error()));
    // It may succeed or fail; it must not end the process, nor harm what is there.
    MemoryImage image(2 * kMinChunkSize);
    image.fill_random(0, 2 * kMinChunkSize, 9);
    RecoveryPoint point;
    point.name = {"other", test_time(5)};
    if (const auto writer = begin_writing(**store, "faults")) {
      const auto ingested = ingest_disk(**writer, image, {});
      if (ingested) point.disks.push_back({"root", ingested->map, {}, {}});
      if (ingested && (*writer)->commit(point)) {
        PointTruth truth;
        truth.disks["root"] = std::make_shared<const Buffer>(image.content(0, image.size()));
        truth.standing = Standing::must;
        scene.promise(point.name.text(), truth);
      } else {
        scene.promise(point.name.text(), Standing::hidden);
      }
    }
  }
  const auto store = scene.open();
  if (auto rebuilt = rebuild_index(**store); !rebuilt)
    return result.add(Verdict::lost, "the index cannot be rebuilt: " + name_of(rebuilt.error()));
  scene.check_points(**store, result);
}

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void flip(const std::filesystem::path& file, std::size_t byte, unsigned bit) {
  Buffer one(1);
  const UniqueFd fd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  const auto at = static_cast<off_t>(byte);
  if (::pread(fd.get(), one.data(), 1, at) != 1) throw std::runtime_error("cannot read " + file.string());
  one[0] = static_cast<std::uint8_t>(one[0] ^ (1U << bit));
  if (::pwrite(fd.get(), one.data(), 1, at) != 1) throw std::runtime_error("cannot write " + file.string());
}

}  // namespace

Tally bit_flips(const Options& options) {
  const TemporaryDirectory place;
  Scene original(place.path() / "scene");
  std::filesystem::create_directory(original.root());
  make_small_store(original);

  // A case takes a run of bytes, so that a child is not made for each.
  constexpr std::size_t kRun = 64;
  std::vector<Flip> flips;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(original.store())) {
    if (!entry.is_regular_file()) continue;
    const std::string file = std::filesystem::relative(entry.path(), original.store()).string();
    if (!options.only.empty() && !file.starts_with(options.only)) continue;
    const auto size = static_cast<std::size_t>(entry.file_size());
    for (std::size_t at = 0; at < size; at += kRun) {
      const bool is_free_slots = file == kReaderTable && at >= kReadersWhole && at / kRun % kReadersOneOf != 0;
      if (!is_free_slots || options.hours != 0) flips.push_back({file, at, std::min(at + kRun, size)});
    }
  }
  std::mt19937_64 random(options.seed);
  std::ranges::shuffle(flips, random);
  if (options.quick) flips.resize(std::min<std::size_t>(flips.size(), 30));
  const std::uint64_t seed = random();

  const auto run = [&](std::size_t number) {
    const Flip& here = flips[number];
    CaseResult result;
    const bool is_index = here.file.starts_with("index/");
    // Reading changes no file but LMDB's table of readers: one copy does for all of them, and what was flipped is
    // flipped back.
    const TemporaryDirectory read_from;
    copy_tree(original.root(), read_from.path() / "scene");
    const Scene reading = original.at(read_from.path() / "scene", original.truth());
    const std::filesystem::path flipped = reading.store() / here.file;
    for (std::size_t byte = here.from; byte < here.to; ++byte) {
      std::mt19937_64 choice(seed ^ (byte * 2654435761U));
      std::vector<unsigned> bits = {static_cast<unsigned>(choice() % 8)};
      if (options.hours != 0) bits = {0, 1, 2, 3, 4, 5, 6, 7};
      const bool is_written = is_index && (options.hours != 0 || choice() % kWrittenOneOf == 0);
      for (const unsigned bit : bits) {
        CaseResult one;
        flip(flipped, byte, bit);
        read_damaged(reading, one);
        flip(flipped, byte, bit);
        if (is_written) {
          const TemporaryDirectory written_to;
          copy_tree(original.root(), written_to.path() / "scene");
          Scene writing = original.at(written_to.path() / "scene", original.truth());
          flip(writing.store() / here.file, byte, bit);
          write_and_rebuild(writing, one);
        }
        result.points += one.points;
        ++result.cases;
        if (one.verdict != Verdict::fine)
          result.add(one.verdict, "byte " + std::to_string(byte) + " bit " + std::to_string(bit) + ": " + one.text);
      }
    }
    if (here.file != kReaderTable && bytes_of(flipped) != bytes_of(original.store() / here.file))
      result.add(Verdict::other, "reading wrote to it");
    return result;
  };
  Tally tally;
  run_cases(tally, flips.size(), options, run,
            [&](std::size_t number) { return flips[number].file + " at " + std::to_string(flips[number].from); });
  return tally;
}

}  // namespace cairn::faults
