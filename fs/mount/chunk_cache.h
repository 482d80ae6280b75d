// SPDX-License-Identifier: GPL-3.0-or-later
// ChunkCache: opened chunks and nodes in memory, in front of the store. Bounded in bytes; the least recently used goes
// first; nodes have a part of their own, so that reading a disk through does not push them out. Single flight: however
// many threads ask for a chunk at once, it is decoded once, and the others wait for that. Failures are not kept.
// Sharing and bounds: fs/mount/MOUNT.md. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>

#include "fs/store/map/disk_reader.h"

namespace cairn {

class ChunkCache : public ChunkSource {
 public:
  struct Counters {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;  // asked of the source
    std::uint64_t waits = 0;   // waited for another thread's miss
    std::uint64_t bytes = 0;   // kept now, bookkeeping included
    std::uint64_t entries = 0;
  };

  // `source` must outlive this. `limit_bytes` bounds what is kept; what readers hold is theirs. An entry larger than
  // its shard's share is handed on but not kept; shards are so few that several chunks of `chunk_size` fit each, where
  // possible.
  ChunkCache(ChunkSource& source, std::uint64_t limit_bytes, std::uint32_t chunk_size);
  ~ChunkCache() override;
  ChunkCache(const ChunkCache&) = delete;
  ChunkCache& operator=(const ChunkCache&) = delete;

  Result<SharedBuffer> fetch(RecordKind kind, const ChunkName& name) override;
  // From a chunk that is there, or on its way; else only the part is asked of the source, and not kept.
  Result<void> fetch_part(const ChunkName& name, std::uint32_t chunk_bytes, std::uint32_t offset,
                          MutableBytes to) override;
  // What is missing is asked of the source at once.
  void fetch_all(RecordKind kind, std::span<const ChunkName> names, const Deliver& deliver) override;

  // Sums over the shards, one after the other.
  [[nodiscard]] Counters counters() const;
  [[nodiscard]] std::uint64_t limit_bytes() const { return limit_bytes_; }

 private:
  struct ShardState;
  struct Shard;
  class Flight;
  using Flights = std::unordered_map<ChunkName, std::shared_ptr<Flight>, ChunkNameHash>;
  // The bytes; or the flight to wait for; or one that is the caller's to land.
  struct Found {
    SharedBuffer bytes;
    std::shared_ptr<Flight> flight;
    bool is_mine = false;
  };
  [[nodiscard]] Shard& shard_of(const ChunkName& name) const;
  enum class IfMissing { take_off, leave };  // make a flight of the caller's own; or nothing
  Found look_up(RecordKind kind, const ChunkName& name, IfMissing if_missing);
  // False when it has landed already; that outcome stays.
  bool land(RecordKind kind, const ChunkName& name, Flight& flight, const Result<SharedBuffer>& outcome);
  Result<SharedBuffer> wait_for(const ChunkName& name, Flight& flight);

  ChunkSource& source_;
  const std::uint64_t limit_bytes_;
  std::size_t shard_mask_ = 0;
  std::unique_ptr<Shard[]> shards_;
};

}  // namespace cairn
