// SPDX-License-Identifier: GPL-3.0-or-later
// How fast the index takes new names as it grows, by simulation: random names go into an Index exactly as the pack
// writer brings them, each batch durable before the next. Not a test: it prints what it measures.
//
//   index_growth FOLDER NAMES [SECONDS]
//
// Makes the index in FOLDER, or goes on with the one that is there, up to NAMES names, and stops after SECONDS. Rates
// are those since the line before, merging included.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <random>

#include "fs/store/index/index.h"
#include "tests/bench/made_up_names.h"

namespace {

using namespace cairn;
using namespace cairn::bench;

constexpr std::uint64_t kPackRecords = 256;  // 16 MiB of 64 KiB chunks
constexpr std::uint32_t kChunkBytes = 64 * 1024;
constexpr std::uint64_t kMillion = 1'000'000;

IndexedPack pack_of(std::uint64_t first) {
  IndexedPack pack;
  pack.name = name_of(kPacks, first).hex();
  std::uint32_t offset = 64;
  for (std::uint64_t i = 0; i < kPackRecords; ++i) {
    PackRecord record;
    record.name = name_of(kPresent, first + i);
    record.place = {static_cast<std::uint32_t>(i), offset, kChunkBytes + 16, kChunkBytes};
    offset += record.place.sealed_bytes;
    pack.records.push_back(record);
  }
  pack.size = offset;
  return pack;
}

// Microseconds a name, asked 16 at a time as the backup asks.
double look_up(Index& index, Sequence kind, std::uint64_t names, std::uint64_t total, std::mt19937_64& random) {
  constexpr std::size_t kTogether = 16;
  std::array<ChunkName, kTogether> wanted;
  std::array<bool, kTogether> found{};
  const auto start = SteadyClock::now();
  for (std::uint64_t done = 0; done < names; done += kTogether) {
    for (ChunkName& name : wanted) name = name_of(kind, random() % total);
    must(index.contains(wanted, found));
    for (const bool there : found)
      if (there != (kind == kPresent)) {
        fmt::print(stderr, "the index is wrong about a name\n");
        std::exit(1);
      }
  }
  return seconds_since(start) / static_cast<double>(names) * 1e6;
}

bool is_checkpoint(std::uint64_t before, std::uint64_t after) {
  for (const std::uint64_t at : {1, 2, 5, 10, 20, 50, 75, 100, 125, 150, 175, 200})
    if (before < at * kMillion && after >= at * kMillion) return true;
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "index_growth FOLDER NAMES [SECONDS]\n");
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  const std::uint64_t wanted = std::strtoull(argv[2], nullptr, 10);
  const double limit = argc > 3 ? std::strtod(argv[3], nullptr) : 1e9;
  if (!std::filesystem::exists(folder)) must(Index::create(folder, kStore));
  const auto index = must(Index::open(folder, kStore));
  std::uint64_t names = must(index->record_count());

  std::mt19937_64 random(names);
  fmt::print("{:>9} {:>9} {:>9} {:>9} {:>9} {:>8} {:>9} {:>9} {:>10} {:>10}\n", "names", "names/s", "MiB/s at",
             "slowest", "file MiB", "B/name", "anon MiB", "file MiB", "absent us", "present us");
  fmt::print("{:>9} {:>9} {:>9} {:>9} {:>9} {:>8} {:>9} {:>9}\n", "million", "", "64KiB", "batch s", "on disk", "",
             "resident", "resident");
  const auto start = SteadyClock::now();
  double adding = 0;
  double slowest = 0;
  std::uint64_t at_line = names;
  // Nothing was added when the index had its names before: what is asked of it is measured all the same.
  const auto print_line = [&] {
    const double rate = adding > 0 ? static_cast<double>(names - at_line) / adding : 0;
    const double file_bytes = static_cast<double>(std::filesystem::file_size(folder / "data.mdb"));
    const double absent = look_up(*index, kAbsent, 100'000, names, random);
    const double present = look_up(*index, kPresent, 100'000, names, random);
    fmt::print("{:9.1f} {:9.0f} {:9.0f} {:9.2f} {:9.0f} {:8.1f} {:9.0f} {:9.0f} {:10.2f} {:10.2f}\n",
               static_cast<double>(names) / kMillion, rate, rate * kChunkBytes / 1024 / 1024, slowest,
               file_bytes / 1024 / 1024, file_bytes / static_cast<double>(names), status_mib("RssAnon"),
               status_mib("RssFile"), absent, present);
    std::fflush(stdout);
  };
  if (names >= wanted) print_line();
  while (names < wanted && seconds_since(start) < limit) {
    std::vector<IndexedPack> batch;
    const std::uint64_t before = names;
    for (; names < before + kIndexBatchRecords; names += kPackRecords) batch.push_back(pack_of(names));
    const auto began = SteadyClock::now();
    must(index->add(batch));
    const double took = seconds_since(began);
    adding += took;
    slowest = std::max(slowest, took);
    if (!is_checkpoint(before, names) && names < wanted && seconds_since(start) < limit) continue;
    print_line();
    at_line = names;
    adding = slowest = 0;
  }
  return names >= wanted ? 0 : 3;
}
