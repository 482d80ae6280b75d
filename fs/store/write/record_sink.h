// SPDX-License-Identifier: GPL-3.0-or-later
// RecordSink: where new chunks and nodes go: deduplicated, compressed where it pays, sealed into packs. Internal to
// fs/store. Any thread: each call works in one of several lanes, a lane has one open pack.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <unordered_set>
#include <vector>

#include "config/base/guarded.h"
#include "config/base/result.h"
#include "fs/store/write/pack_writer.h"

namespace cairn {

// Packs are closed when they have this many bytes, or a chunk more; the first of each lane at its share of it.
inline constexpr std::size_t kPackTargetBytes = std::size_t{16} * 1024 * 1024;

enum class Compress { try_it, never };

struct NewRecord {
  ChunkName name;
  RecordKind kind = RecordKind::chunk;
  Compress compress = Compress::try_it;
  ByteView bytes;
};

// Whether it is worth while to compress: ciphertext and what is compressed already is not.
bool looks_compressible(ByteView bytes);
// Puts the record into the pack, compressed where that pays. `compressed`: room to work in, used again.
void append_record(PackBuilder& pack, const NewRecord& record, Buffer& compressed);

struct SinkCount {
  std::uint64_t new_bytes = 0;     // before compression
  std::uint64_t stored_bytes = 0;  // sealed
};

class RecordSink {
 public:
  RecordSink(Backend& backend, Index& index, const KeyRing& keys, SealAlgorithm algorithm, const StoreId& store,
             unsigned lanes);

  // Stores those of `records` that the store does not have, in lane `lane` (taken modulo the number of lanes).
  // Errors: the first failure of the pack writer or the index, for ever after.
  // Any failure here makes the sink fail for everyone: others may count on records that were claimed.
  Result<SinkCount> store(std::span<const NewRecord> records, unsigned lane);
  // Closes all packs and waits until all records are durable and in the index.
  Result<void> flush();

 private:
  struct Lane {
    std::optional<PackBuilder> pack;
    Buffer compressed;
    std::size_t pack_bytes = 0;  // when the pack is closed
  };
  // Names that are on their way into the index.
  using ClaimShard = Guarded<std::unordered_set<ChunkName, ChunkNameHash>>;
  static constexpr std::size_t kClaimShards = 64;

  [[nodiscard]] ClaimShard& shard_of(const ChunkName& name) { return claims_[name.bytes[8] % kClaimShards]; }
  // Calls `work`; a failure or exception of it becomes the sink's.
  template <class Work>
  auto or_fail_for_all(Work work) -> decltype(work());
  Result<SinkCount> store_new(std::span<const NewRecord> records, unsigned lane_number);
  Result<bool> is_new(const ChunkName& name);
  Result<void> close_pack(Lane& lane);
  std::uint64_t add(Lane& lane, const NewRecord& record);

  Index& index_;
  const KeyRing& keys_;
  SealAlgorithm algorithm_;
  const StoreId& store_;
  std::vector<std::unique_ptr<Guarded<Lane>>> lanes_;
  std::array<ClaimShard, kClaimShards> claims_;
  PackWriter writer_;  // last: its thread uses the claims
};

}  // namespace cairn
