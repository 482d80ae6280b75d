// SPDX-License-Identifier: GPL-3.0-or-later
// The runs of the index, as values: which there are, which are merged when, and their filters. Internal to fs/store;
// LMDB is in index_state.h. Bytes: fs/store/FORMAT.md "Index". Pure. Any thread.
//
// A run is a sorted table of names that is written once, from its first name to its last, and never added to. New names
// are a new run; runs of one size are merged into one of the next. So every page is written full and in order, whatever
// the index's size, and a name is written anew only log4(names / 65,536) times. Before a run is searched its filter is
// asked, which is right about 99 of 100 names that are not there.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "config/base/bytes.h"
#include "crypto/chunk_name.h"

namespace cairn {

// How many runs can be at once: each has a slot, a table of LMDB.
inline constexpr std::size_t kRunSlots = 48;
// As many runs of one size class are merged. A class is four times as large as the one before.
inline constexpr std::size_t kMergedRuns = 4;

struct RunFacts {
  std::uint32_t id = 0;      // never used twice in an index
  std::uint32_t slot = 0;    // below kRunSlots
  std::uint64_t names = 0;   // when it was written
  std::uint64_t blocks = 0;  // of its filter; 0: it has none, and must be searched
  bool operator==(const RunFacts&) const = default;
};

Buffer encode_runs(std::span<const RunFacts> runs);
// Nothing when the bytes are no list of runs.
std::optional<std::vector<RunFacts>> decode_runs(ByteView bytes);

// The runs to merge next, smallest first; empty: all is well. Keeps three runs a class at most, and two slots free.
std::vector<RunFacts> choose_merge(std::span<const RunFacts> runs);
// A slot that no run has; nothing when all are taken.
std::optional<std::uint32_t> free_slot(std::span<const RunFacts> runs);

// A blocked Bloom filter: a name belongs to one block of 64 bytes and sets six bits in it. Names are keyed hashes, so
// their own bytes serve as hash values. Blocks follow the order of names: a filter is written along with its run.
inline constexpr std::size_t kFilterBlockBytes = 64;
inline constexpr std::uint64_t kFilterBitsPerName = 12;
inline constexpr std::uint64_t kFilterPieceBlocks = 1024;  // 64 KiB: as filters are stored
using FilterBlock = std::span<const std::uint8_t, kFilterBlockBytes>;

std::uint64_t filter_blocks_for(std::uint64_t names);  // at least 1
std::uint64_t filter_block_of(const ChunkName& name, std::uint64_t blocks);
void add_to_filter(std::span<std::uint8_t, kFilterBlockBytes> block, const ChunkName& name);
bool may_hold(FilterBlock block, const ChunkName& name);

}  // namespace cairn
