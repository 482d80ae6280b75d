// ChunkCache: see chunk_cache.h. A shard's lock is held for look-ups only, never while the source works.
// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/mount/chunk_cache.h"

#include <algorithm>
#include <bit>
#include <condition_variable>
#include <exception>
#include <list>
#include <mutex>
#include <optional>
#include <unordered_map>

namespace cairn {
namespace {

constexpr std::size_t kMaxShards = 16;
constexpr std::uint64_t kChunksPerShard = 8;
constexpr std::uint64_t kNodeShare = 8;        // nodes may take one part in this many
constexpr std::uint64_t kEntryOverhead = 192;  // list node, table entry, control block, allocator: about

std::size_t shard_count(std::uint64_t limit_bytes, std::uint32_t chunk_size) {
  const std::uint64_t wanted = limit_bytes / (kChunksPerShard * std::max<std::uint64_t>(chunk_size, 1));
  return std::bit_floor(std::clamp<std::uint64_t>(wanted, 1, kMaxShards));
}

// Entries of one kind, most recently used first.
class Segment {
 public:
  void set_limit(std::uint64_t bytes) { limit_ = bytes; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t entries() const { return table_.size(); }

  SharedBuffer find(const ChunkName& name) {
    const auto at = table_.find(name);
    if (at == table_.end()) return nullptr;
    if (at->second != recent_.begin()) recent_.splice(recent_.begin(), recent_, at->second);
    return at->second->bytes;
  }

  // Entries pushed out are moved to `out`, so that they are freed when the lock is no longer held.
  struct Entry {
    ChunkName name;
    SharedBuffer bytes;
    std::uint64_t cost = 0;
  };
  void keep(const ChunkName& name, const SharedBuffer& bytes, std::list<Entry>& out) {
    const std::uint64_t cost = bytes->size() + kEntryOverhead;
    if (cost > limit_ || table_.contains(name)) return;
    recent_.push_front({name, bytes, cost});
    table_.emplace(name, recent_.begin());
    bytes_ += cost;
    while (bytes_ > limit_) {
      const auto oldest = std::prev(recent_.end());
      bytes_ -= oldest->cost;
      table_.erase(oldest->name);
      out.splice(out.end(), recent_, oldest);
    }
  }

 private:
  std::uint64_t limit_ = 0;
  std::uint64_t bytes_ = 0;
  std::list<Entry> recent_;
  std::unordered_map<ChunkName, std::list<Entry>::iterator, ChunkNameHash> table_;
};

// One decode under way; threads that want the same wait here.
struct Flight {
  std::optional<Result<SharedBuffer>> outcome;  // guarded by the shard's mutex
  std::condition_variable landed;
};
using Flights = std::unordered_map<ChunkName, std::shared_ptr<Flight>, ChunkNameHash>;

}  // namespace

struct alignas(64) ChunkCache::Shard {
  std::mutex mutex;  // guards all of this
  Segment chunks;
  Segment nodes;
  Flights chunk_flights;
  Flights node_flights;
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t waits = 0;
};

ChunkCache::ChunkCache(ChunkSource& source, std::uint64_t limit_bytes, std::uint32_t chunk_size)
    : source_(source), limit_bytes_(limit_bytes) {
  const std::size_t count = shard_count(limit_bytes, chunk_size);
  shard_mask_ = count - 1;
  shards_ = std::make_unique<Shard[]>(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t share = limit_bytes / count;
    shards_[i].nodes.set_limit(share / kNodeShare);
    shards_[i].chunks.set_limit(share - share / kNodeShare);
  }
}

ChunkCache::~ChunkCache() = default;

Result<SharedBuffer> ChunkCache::fetch(RecordKind kind, const ChunkName& name) {
  // Names are hashes: any bits will do. The table uses the first eight bytes, so the shard takes another.
  Shard& shard = shards_[name.bytes[kChunkNameBytes - 1] & shard_mask_];
  const bool node = kind == RecordKind::node;
  Segment& segment = node ? shard.nodes : shard.chunks;
  Flights& flights = node ? shard.node_flights : shard.chunk_flights;

  std::unique_lock lock(shard.mutex);
  if (SharedBuffer found = segment.find(name)) {
    ++shard.hits;
    return found;
  }
  if (const auto under_way = flights.find(name); under_way != flights.end()) {
    const std::shared_ptr<Flight> flight = under_way->second;
    ++shard.waits;
    flight->landed.wait(lock, [&] { return flight->outcome.has_value(); });
    return *flight->outcome;
  }
  ++shard.misses;
  const auto flight = std::make_shared<Flight>();
  flights.emplace(name, flight);
  lock.unlock();

  std::list<Segment::Entry> pushed_out;
  const auto land = [&](Result<SharedBuffer> outcome) -> Result<SharedBuffer> {
    lock.lock();
    if (outcome && *outcome) segment.keep(name, *outcome, pushed_out);
    flight->outcome = outcome;
    flights.erase(name);
    lock.unlock();
    flight->landed.notify_all();
    return outcome;
  };
  try {
    return land(source_.fetch(kind, name));
  } catch (const std::exception& problem) {
    // Whoever waits must not wait for ever.
    if (lock.owns_lock()) lock.unlock();
    return land(fail(ErrorCode::out_of_memory, "open chunk", name.hex(), problem.what()));
  }
}

ChunkCache::Counters ChunkCache::counters() const {
  Counters sum;
  for (std::size_t i = 0; i <= shard_mask_; ++i) {
    Shard& shard = shards_[i];
    const std::lock_guard lock(shard.mutex);
    sum.hits += shard.hits;
    sum.misses += shard.misses;
    sum.waits += shard.waits;
    sum.bytes += shard.chunks.bytes() + shard.nodes.bytes();
    sum.entries += shard.chunks.entries() + shard.nodes.entries();
  }
  return sum;
}

}  // namespace cairn
