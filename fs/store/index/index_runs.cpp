// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/index/index_runs.h"

#include <algorithm>
#include <array>

namespace cairn {
namespace {

constexpr std::size_t kRunBytes = 24;
constexpr std::uint64_t kSmallestClass = 16384;  // names: all runs below four times this are of class 0
constexpr unsigned kFilterBits = 6;

unsigned size_class(std::uint64_t names) {
  unsigned found = 0;
  for (std::uint64_t limit = kSmallestClass * kMergedRuns; names >= limit && found < 20; limit *= kMergedRuns) ++found;
  return found;
}

// The bits of `name` in its block: nine bits of its second eight bytes each.
std::array<unsigned, kFilterBits> filter_bits(const ChunkName& name) {
  auto rest = get_le<std::uint64_t>(ByteView(name.bytes).subspan(8));
  std::array<unsigned, kFilterBits> bits{};
  for (unsigned& bit : bits) {
    bit = static_cast<unsigned>(rest % (8 * kFilterBlockBytes));
    rest >>= 9U;
  }
  return bits;
}

}  // namespace

Buffer encode_runs(std::span<const RunFacts> runs) {
  Buffer bytes;
  for (const RunFacts& run : runs) {
    append_le(bytes, run.id);
    append_le(bytes, run.slot);
    append_le(bytes, run.names);
    append_le(bytes, run.blocks);
  }
  return bytes;
}

std::optional<std::vector<RunFacts>> decode_runs(ByteView bytes) {
  if (bytes.size() % kRunBytes != 0 || bytes.size() / kRunBytes > kRunSlots) return {};
  std::vector<RunFacts> runs;
  std::uint64_t taken = 0;
  for (; !bytes.empty(); bytes = bytes.subspan(kRunBytes)) {
    RunFacts run;
    run.id = get_le<std::uint32_t>(bytes);
    run.slot = get_le<std::uint32_t>(bytes.subspan(4));
    run.names = get_le<std::uint64_t>(bytes.subspan(8));
    run.blocks = get_le<std::uint64_t>(bytes.subspan(16));
    if (run.slot >= kRunSlots || (taken >> run.slot & 1U) != 0) return {};
    taken |= std::uint64_t{1} << run.slot;
    runs.push_back(run);
  }
  return runs;
}

std::vector<RunFacts> choose_merge(std::span<const RunFacts> runs) {
  std::vector<RunFacts> sorted(runs.begin(), runs.end());
  std::ranges::sort(sorted, {}, &RunFacts::names);
  for (std::size_t first = 0; first < sorted.size();) {
    const unsigned in_class = size_class(sorted[first].names);
    std::size_t end = first;
    while (end < sorted.size() && size_class(sorted[end].names) == in_class) ++end;
    if (end - first >= kMergedRuns)
      return {sorted.begin() + static_cast<std::ptrdiff_t>(first), sorted.begin() + static_cast<std::ptrdiff_t>(end)};
    first = end;
  }
  if (sorted.size() + 2 <= kRunSlots) return {};
  sorted.resize(kMergedRuns);
  return sorted;
}

std::optional<std::uint32_t> free_slot(std::span<const RunFacts> runs) {
  for (std::uint32_t slot = 0; slot < kRunSlots; ++slot)
    if (std::ranges::none_of(runs, [&](const RunFacts& run) { return run.slot == slot; })) return slot;
  return {};
}

std::uint64_t filter_blocks_for(std::uint64_t names) {
  return names * kFilterBitsPerName / (8 * kFilterBlockBytes) + 1;
}

std::uint64_t filter_block_of(const ChunkName& name, std::uint64_t blocks) {
  std::uint64_t place = 0;  // the first eight bytes as names are ordered: big-endian
  for (std::size_t i = 0; i < 8; ++i) place = place << 8U | name.bytes[i];
  __extension__ typedef unsigned __int128 Wide;  // NOLINT(modernize-use-using): -Wpedantic refuses the other way
  return static_cast<std::uint64_t>(Wide{place} * blocks >> 64U);
}

void add_to_filter(std::span<std::uint8_t, kFilterBlockBytes> block, const ChunkName& name) {
  for (const unsigned bit : filter_bits(name)) block[bit / 8] |= static_cast<std::uint8_t>(1U << bit % 8);
}

bool may_hold(FilterBlock block, const ChunkName& name) {
  return std::ranges::all_of(filter_bits(name), [&](unsigned bit) { return (block[bit / 8] >> bit % 8 & 1U) != 0; });
}

}  // namespace cairn
