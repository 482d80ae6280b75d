// SPDX-License-Identifier: GPL-3.0-or-later
// ChunkCache: see chunk_cache.h. A shard's lock is held for look-ups only, never while the source works.
#include "fs/mount/chunk_cache.h"

#include <algorithm>
#include <bit>
#include <condition_variable>
#include <exception>
#include <optional>

#include "config/base/exception_door.h"
#include "config/base/guarded.h"
#include "config/base/lru.h"

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

using Kept = Lru<ChunkName, SharedBuffer, ChunkNameHash>;  // costs: bytes, bookkeeping included

}  // namespace

// What a shard's lock guards.
struct ChunkCache::ShardState {
  Kept chunks;
  Kept nodes;
  Flights chunk_flights;
  Flights node_flights;
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t waits = 0;

  Kept& kept(RecordKind kind) { return kind == RecordKind::node ? nodes : chunks; }
  Flights& flights(RecordKind kind) { return kind == RecordKind::node ? node_flights : chunk_flights; }
};

struct alignas(64) ChunkCache::Shard {
  Guarded<ShardState> state;
};

// One decode under way; threads that want the same wait here. The outcome is reached with the shard's lock only.
class ChunkCache::Flight {
 public:
  using Outcome = std::optional<Result<SharedBuffer>>;
  Outcome& outcome(const Guarded<ShardState>::Locked<ShardState>&) { return outcome_; }
  std::condition_variable landed;

 private:
  Outcome outcome_;
};

ChunkCache::ChunkCache(ChunkSource& source, std::uint64_t limit_bytes, std::uint32_t chunk_size)
    : source_(source), limit_bytes_(limit_bytes) {
  const std::size_t count = shard_count(limit_bytes, chunk_size);
  shard_mask_ = count - 1;
  shards_ = std::make_unique<Shard[]>(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t share = limit_bytes / count;
    const auto shard = shards_[i].state.lock();
    shard->nodes = Kept({.cost = share / kNodeShare});
    shard->chunks = Kept({.cost = share - share / kNodeShare});
  }
}

ChunkCache::~ChunkCache() = default;

ChunkCache::Shard& ChunkCache::shard_of(const ChunkName& name) const {
  // Names are hashes: any bits will do. The table uses the first eight bytes, so the shard takes another.
  return shards_[name.bytes[kChunkNameBytes - 1] & shard_mask_];
}

ChunkCache::Found ChunkCache::look_up(RecordKind kind, const ChunkName& name, IfMissing if_missing) {
  const auto shard = shard_of(name).state.lock();
  if (const SharedBuffer* found = shard->kept(kind).find(name)) {
    ++shard->hits;
    return {*found, nullptr, false};
  }
  Flights& flights = shard->flights(kind);
  if (const auto under_way = flights.find(name); under_way != flights.end()) {
    ++shard->waits;
    return {nullptr, under_way->second, false};
  }
  ++shard->misses;
  if (if_missing == IfMissing::leave) return {};
  auto flight = std::make_shared<Flight>();
  flights.emplace(name, flight);
  return {nullptr, std::move(flight), true};
}

bool ChunkCache::land(RecordKind kind, const ChunkName& name, Flight& flight, const Result<SharedBuffer>& outcome) {
  Kept::Entries pushed_out;  // freed when the lock is no longer held
  {
    const auto shard = shard_of(name).state.lock();
    if (flight.outcome(shard)) return false;
    if (outcome && *outcome) pushed_out = shard->kept(kind).keep(name, *outcome, (*outcome)->size() + kEntryOverhead);
    flight.outcome(shard) = outcome;
    shard->flights(kind).erase(name);
  }
  flight.landed.notify_all();
  return true;
}

Result<SharedBuffer> ChunkCache::wait_for(const ChunkName& name, Flight& flight) {
  auto shard = shard_of(name).state.lock();
  flight.landed.wait(shard.held(), [&] { return flight.outcome(shard).has_value(); });
  return *flight.outcome(shard);
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
    const auto shard = shards_[i].state.lock();
    sum.hits += shard->hits;
    sum.misses += shard->misses;
    sum.waits += shard->waits;
    sum.bytes += shard->chunks.cost() + shard->nodes.cost();
    sum.entries += shard->chunks.size() + shard->nodes.size();
  }
  return sum;
}

}  // namespace cairn
