// SPDX-License-Identifier: GPL-3.0-or-later
// What a store is made with, and what is reported about one as a whole. Values only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "crypto/sealer.h"

namespace cairn {

inline constexpr std::uint32_t kMinChunkSize = 64 * 1024;
inline constexpr std::uint32_t kMaxChunkSize = 4 * 1024 * 1024;
inline constexpr std::uint32_t kDefaultChunkSize = 64 * 1024;

struct StoreParameters {
  std::uint32_t chunk_size = kDefaultChunkSize;  // bytes; a power of two from kMinChunkSize to kMaxChunkSize
  SealAlgorithm algorithm = best_seal_algorithm();
};

// What is known about a store without counting anything.
struct StoreInfo {
  std::string id;  // 32 hex digits
  std::uint32_t format = 1;
  std::uint32_t chunk_size = 0;  // bytes
  SealAlgorithm algorithm{};
  UtcTime created;
};

struct StoreUsage {
  std::uint64_t packs = 0;
  std::uint64_t stored_bytes = 0;  // in pack files
  std::uint64_t chunks = 0;        // distinct chunks and nodes in the index
  std::uint64_t points = 0;
  std::uint64_t logical_bytes = 0;  // sum of all disks of all points
};

struct RebuildReport {
  std::uint64_t packs = 0;
  std::uint64_t records = 0;
  std::vector<std::string> damaged_packs;
};

}  // namespace cairn
