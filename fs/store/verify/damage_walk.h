// SPDX-License-Identifier: GPL-3.0-or-later
// DamageWalk: where disks cannot be read, by a MapWalk over each. What was found clean once is not looked at again,
// whichever point shares it; what is not is walked for each disk, so that every range has its disk. Memory: RecordBits,
// and 64 nodes of 32 KiB a level. One thread. Internal to fs/store.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "config/base/result.h"
#include "fs/store/index/index.h"
#include "fs/store/index/record_bits.h"
#include "fs/store/map/map_walk.h"
#include "fs/store/pack/chunk_source.h"
#include "fs/store/pack/pack_check.h"
#include "fs/store/unlisted_packs.h"
#include "fs/store/verify/damage.h"

namespace cairn {

// What is wrong with a pack, as far as its records are concerned.
struct BadPack {
  bool all = false;                          // no reader gets any of its records
  bool unsure = false;                       // its footer is lost: each record must be tried
  std::unordered_set<std::uint32_t> number;  // else: these records
};
using BadPacks = std::unordered_map<PackNumber, BadPack>;
// Nothing: no reader meets anything bad in it.
std::optional<BadPack> bad_pack_of(const PackVerdict& verdict);

// Packs that the index does not know, for a walk that looks into them as readers do.
struct UnlistedSource {
  UnlistedPacks& packs;
  std::unordered_set<std::string> bad;  // names of those in which something was found damaged
};

class DamageWalk {
 public:
  // All must outlive this. `bad` may grow between walks, by then start_afresh() must be called.
  DamageWalk(ChunkSource& source, Index& index, const ChunkNamer& namer, std::uint32_t chunk_size,
             std::span<const PackRow> packs, const BadPacks& bad);

  // What the index does not know, or says of packs that are gone, is looked for there before it counts as lost.
  // `unlisted` must outlive this.
  void look_into(UnlistedSource& unlisted) { unlisted_ = &unlisted; }
  // Where the map cannot be read, merged; empty: all of it can. `object` names the disk in errors.
  // Errors: cancelled, those of the index.
  Result<std::vector<ByteRange>> walk(const MapRecord& map, const std::string& object, const std::stop_token& stop);
  // Forgets what was found, for another round.
  void start_afresh();

  // What the walks met:
  [[nodiscard]] const std::unordered_map<ChunkName, RecordKind, ChunkNameHash>& lost() const { return lost_; }
  // Packs that a node was in which could not be read, and that are not among the bad ones.
  [[nodiscard]] const std::unordered_set<PackNumber>& suspects() const { return suspects_; }
  // Records that are needed and are in packs without a footer, good or not.
  using Places = std::unordered_map<ChunkName, RecordPlace, ChunkNameHash>;
  [[nodiscard]] const std::unordered_map<PackNumber, Places>& met_unsure() const { return met_unsure_; }
  // What could not be read for the moment, the first of them.
  [[nodiscard]] const std::optional<Error>& unreadable() const { return unreadable_; }
  // Records that are needed, and that only packs have which the index does not know.
  [[nodiscard]] std::uint64_t met_unlisted() const { return met_unlisted_count_; }
  [[nodiscard]] std::uint64_t nodes() const { return nodes_; }
  [[nodiscard]] std::uint64_t chunks() const { return chunks_; }

 private:
  enum class Found { good, lost, unreadable };
  class Visit;  // of one disk
  Found judge(RecordKind kind, const ChunkName& name, const IndexEntry* entry, std::uint32_t raw_bytes);
  Found judge_unlisted(RecordKind kind, const ChunkName& name, std::optional<std::uint32_t> raw_bytes);
  Found failed(RecordKind kind, const ChunkName& name, const IndexEntry* entry, const Error& error);

  ChunkSource& source_;
  Index& index_;
  const ChunkNamer& namer_;
  const std::uint32_t chunk_size_;
  const std::span<const PackRow> packs_;
  const BadPacks& bad_;
  RecordBits clean_;
  RecordBits tried_;  // in packs without a footer: good when tried
  std::unordered_map<ChunkName, RecordKind, ChunkNameHash> lost_;
  std::unordered_set<PackNumber> suspects_;
  std::unordered_map<PackNumber, Places> met_unsure_;
  std::optional<Error> unreadable_;
  UnlistedSource* unlisted_ = nullptr;
  std::uint64_t met_unlisted_count_ = 0;
  std::uint64_t nodes_ = 0;
  std::uint64_t chunks_ = 0;
};

// Where the disks of these points, headers included, cannot be read; points that cannot be opened are passed over.
// `disks` counts those walked. Errors: as walk().
Result<std::vector<PointDamage>> damaged_disks(Store& store, DamageWalk& walk, std::span<const PointName> points,
                                               const std::stop_token& stop, std::uint64_t& disks);

}  // namespace cairn
