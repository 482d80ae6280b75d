// SPDX-License-Identifier: GPL-3.0-or-later
// ChunkCache: see chunk_cache.h. A shard's lock is held for look-ups only, never while the source works.
#include "fs/mount/chunk_cache.h"

#include <algorithm>
#include <bit>
#include <condition_variable>
#include <exception>
#include <list>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "config/base/exception_door.h"

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

}  // namespace

// One decode under way; threads that want the same wait here.
struct ChunkCache::Flight {
  std::optional<Result<SharedBuffer>> outcome;  // guarded by the shard's mutex
  std::condition_variable landed;
};

struct alignas(64) ChunkCache::Shard {
  std::mutex mutex;  // guards all of this
  Segment chunks;
  Segment nodes;
  Flights chunk_flights;
  Flights node_flights;
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t waits = 0;

  Segment& segment(RecordKind kind) { return kind == RecordKind::node ? nodes : chunks; }
  Flights& flights(RecordKind kind) { return kind == RecordKind::node ? node_flights : chunk_flights; }
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

ChunkCache::Shard& ChunkCache::shard_of(const ChunkName& name) const {
  // Names are hashes: any bits will do. The table uses the first eight bytes, so the shard takes another.
  return shards_[name.bytes[kChunkNameBytes - 1] & shard_mask_];
}

ChunkCache::Found ChunkCache::look_up(RecordKind kind, const ChunkName& name, IfMissing if_missing) {
  Shard& shard = shard_of(name);
  const std::lock_guard lock(shard.mutex);
  if (SharedBuffer found = shard.segment(kind).find(name)) {
    ++shard.hits;
    return {std::move(found), nullptr, false};
  }
  Flights& flights = shard.flights(kind);
  if (const auto under_way = flights.find(name); under_way != flights.end()) {
    ++shard.waits;
    return {nullptr, under_way->second, false};
  }
  ++shard.misses;
  if (if_missing == IfMissing::leave) return {};
  auto flight = std::make_shared<Flight>();
  flights.emplace(name, flight);
  return {nullptr, std::move(flight), true};
}

bool ChunkCache::land(RecordKind kind, const ChunkName& name, Flight& flight, const Result<SharedBuffer>& outcome) {
  Shard& shard = shard_of(name);
  std::list<Segment::Entry> pushed_out;
  {
    const std::lock_guard lock(shard.mutex);
    if (flight.outcome) return false;
    if (outcome && *outcome) shard.segment(kind).keep(name, *outcome, pushed_out);
    flight.outcome = outcome;
    shard.flights(kind).erase(name);
  }
  flight.landed.notify_all();
  return true;
}

Result<SharedBuffer> ChunkCache::wait_for(const ChunkName& name, Flight& flight) {
  std::unique_lock lock(shard_of(name).mutex);
  flight.landed.wait(lock, [&] { return flight.outcome.has_value(); });
  return *flight.outcome;
}

Result<SharedBuffer> ChunkCache::fetch(RecordKind kind, const ChunkName& name) {
  Found found = look_up(kind, name, IfMissing::take_off);
  if (found.bytes) return std::move(found.bytes);
  if (!found.is_mine) return wait_for(name, *found.flight);
  auto outcome = without_exceptions("open", "a chunk", [&] {
    auto fetched = source_.fetch(kind, name);
    land(kind, name, *found.flight, fetched);
    return fetched;
  });
  if (!outcome) land(kind, name, *found.flight, outcome);  // whoever waits must not wait for ever
  return outcome;
}

Result<void> ChunkCache::fetch_part(const ChunkName& name, std::uint32_t chunk_bytes, std::uint32_t offset,
                                    MutableBytes to) {
  Found found = look_up(RecordKind::chunk, name, IfMissing::leave);
  if (found.flight) {
    CAIRN_TRY(found.bytes, wait_for(name, *found.flight));
  }
  if (found.bytes) return copy_part(*found.bytes, name, chunk_bytes, offset, to);
  return source_.fetch_part(name, chunk_bytes, offset, to);
}

void ChunkCache::fetch_all(RecordKind kind, std::span<const ChunkName> names, const Deliver& deliver) {
  struct Awaited {
    std::size_t index;
    std::shared_ptr<Flight> flight;
  };
  std::vector<Awaited> mine;
  std::vector<Awaited> others;  // a name that is asked for twice is one of these the second time
  std::vector<ChunkName> missing;
  for (std::size_t i = 0; i < names.size(); ++i) {
    Found found = look_up(kind, names[i], IfMissing::take_off);
    if (found.bytes) {
      deliver(i, std::move(found.bytes));
    } else if (found.is_mine) {
      mine.push_back({i, std::move(found.flight)});
      missing.push_back(names[i]);
    } else {
      others.push_back({i, std::move(found.flight)});
    }
  }
  const auto fetched = without_exceptions("open", "chunks", [&]() -> Result<void> {
    if (!missing.empty())
      source_.fetch_all(kind, missing, [&](std::size_t i, Result<SharedBuffer> outcome) {
        land(kind, missing[i], *mine[i].flight, outcome);
        deliver(mine[i].index, std::move(outcome));
      });
    return {};
  });
  if (!fetched) {
    for (const Awaited& open : mine) {
      const ChunkName& name = names[open.index];
      const Result<SharedBuffer> outcome =
          fail(fetched.error().code, "open chunk", name.hex(), fetched.error().because);
      if (land(kind, name, *open.flight, outcome)) deliver(open.index, outcome);
    }
  }
  // Only now: what others wait for of ours has landed, so nobody waits in a ring.
  for (const Awaited& other : others) deliver(other.index, wait_for(names[other.index], *other.flight));
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
