// SPDX-License-Identifier: GPL-3.0-or-later
// Names that look like keyed hashes, the same in every run, and what simulations measure with.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>

#include "fs/store/index/index.h"

namespace cairn::bench {

using SteadyClock = std::chrono::steady_clock;
constexpr StoreId kStore{1};

// Name number `i` of the sequence `kind`: splitmix64, so that names that are there can be asked for again.
inline std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}
enum Sequence : std::uint64_t { kPresent = 1, kAbsent = 2, kPacks = 3 };
inline ChunkName name_of(Sequence kind, std::uint64_t i) {
  ChunkName name;
  for (std::size_t part = 0; part < 4; ++part)
    put_le(MutableBytes(name.bytes).subspan(8 * part), mixed(mixed(i * 4 + part) + kind));
  return name;
}

inline double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

// A line of /proc/self/status, in MiB.
inline double status_mib(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key + ":")) return std::stod(line.substr(key.size() + 1)) / 1024;
  return 0;
}

template <class T>
T must(Result<T> result) {
  if (result) return *std::move(result);
  fmt::print(stderr, "{}\n", result.error().message());
  std::exit(1);
}
inline void must(const Result<void>& result) {
  if (result) return;
  fmt::print(stderr, "{}\n", result.error().message());
  std::exit(1);
}

}  // namespace cairn::bench
