// SPDX-License-Identifier: GPL-3.0-or-later
// GarbageMarks: the mark phase of garbage collection. Walks the maps of recovery points and marks every record that
// they need, with its pack. Memory: one bit a record (RecordBits), 4 bytes a pack number, and a hash set of the nodes
// in packs that came after it was made. Protocol: fs/store/FORMAT.md "Garbage collection". Internal to fs/store. One
// thread.
#pragma once

#include <set>
#include <stop_token>
#include <unordered_set>

#include "fs/store/index/record_bits.h"
#include "fs/store/map/map_walk.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class GarbageMarks final : private MapVisitor {
 public:
  // `packs`: those of the index now. Records in later packs are not marked: such packs are not collected.
  GarbageMarks(std::vector<PackRow> packs, bool accept_damage);

  // Marks what the point needs. Errors: collection_blocked (a node cannot be read, unless damage is accepted),
  // cancelled, those of the index.
  Result<void> add(const RecoveryPoint& point, MapWalk& walk, const std::stop_token& stop);

  [[nodiscard]] const std::vector<PackRow>& packs() const { return packs_; }
  [[nodiscard]] std::uint64_t needed_bytes(PackNumber pack) const;  // sealed
  [[nodiscard]] bool needs(PackNumber pack, const RecordPlace& place) const { return bits_.test({pack, place}); }
  [[nodiscard]] std::uint64_t records() const { return records_; }
  [[nodiscard]] std::uint64_t missing() const { return missing_; }
  [[nodiscard]] std::uint64_t memory_bytes() const;

 private:
  bool meet(const MapPlace& place, const ChunkName& name, const IndexEntry* entry) override;
  Result<void> unreadable(const MapPlace& place, const ChunkName& name, const IndexEntry* entry,
                          const Error& error) override;

  std::vector<PackRow> packs_;
  bool accept_damage_;
  RecordBits bits_;
  std::vector<std::uint32_t> needed_;  // bytes by pack number; a pack is smaller than 256 MiB
  std::unordered_set<ChunkName, ChunkNameHash> newer_nodes_;
  std::uint64_t records_ = 0;
  std::uint64_t missing_ = 0;
  std::string object_;  // the disk that is being walked, for messages
  std::stop_token stop_;
  bool stopped_ = false;
};

}  // namespace cairn
