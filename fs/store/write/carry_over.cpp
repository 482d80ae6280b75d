// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/write/carry_over.h"

#include <algorithm>

namespace cairn {
namespace {

// Whatever stands in the way of the earlier point's map: the caller can do without it.
std::unexpected<Error> base_lost(const Error& error) {
  return fail(ErrorCode::tracking_base_lost, "take over", "what did not change", error.message());
}

}  // namespace

CarryOver::CarryOver(ChunkSource& source, const MapRecord& base, std::uint64_t size, std::uint32_t chunk_size)
    : base_(source, base, chunk_size),
      geometry_(size, chunk_size),
      top_level_(std::min(base_.root_level(), geometry_.root_level())),
      common_end_(size == base.size ? size : std::min(size, base.size) / chunk_size * chunk_size),
      nodes_(geometry_.root_level() + 1) {}

std::uint64_t CarryOver::end_of(std::uint64_t offset, std::uint64_t extent_end) const {
  const std::uint64_t chunk = geometry_.chunk_size();
  std::uint64_t end = extent_end >= geometry_.size() ? geometry_.size() : extent_end / chunk * chunk;
  end = std::min(end, common_end_);
  return std::max(end, offset);
}

// The highest level whose node begins at `chunk`, ends by `end` and covers the same chunks in both maps.
std::optional<unsigned> CarryOver::whole_node_at(std::uint64_t chunk, std::uint64_t end) const {
  for (unsigned level = top_level_ + 1; level-- > 0;) {
    const std::uint64_t span = MapGeometry::span(level);
    if (chunk % span != 0) continue;
    const std::uint64_t here = std::min(chunk + span, geometry_.chunk_count());
    if (here <= end && here == std::min(chunk + span, base_.geometry().chunk_count())) return level;
  }
  return std::nullopt;
}

Result<void> CarryOver::not_carried(std::uint64_t end_chunk) {
  if (end_chunk <= next_chunk_) return {};
  const auto lost = base_.data_bytes_in(next_chunk_, end_chunk);
  if (!lost) return base_lost(lost.error());
  lost_data_bytes_ += *lost;
  return {};
}

Result<void> CarryOver::carry(std::uint64_t offset, std::uint64_t end, const TakeChunks& take) {
  CAIRN_ASSERT(offset % geometry_.chunk_size() == 0 && end > offset && end <= common_end_);
  const std::uint64_t first = offset / geometry_.chunk_size();
  const std::uint64_t end_chunk = (end + geometry_.chunk_size() - 1) / geometry_.chunk_size();
  CAIRN_ASSERT(first >= next_chunk_);
  CAIRN_CHECK(not_carried(first));
  CAIRN_CHECK(carry_chunks(first, end_chunk, take));
  next_chunk_ = end_chunk;
  carried_bytes_ += end - offset;
  return {};
}

Result<void> CarryOver::carry_chunks(std::uint64_t first, std::uint64_t end, const TakeChunks& take) {
  for (std::uint64_t chunk = first; chunk < end;) {
    if (const auto level = whole_node_at(chunk, end)) {
      const std::uint64_t index = chunk / MapGeometry::span(*level);
      const auto name = base_.node_name(*level, index);
      if (!name) return base_lost(name.error());
      if (!name->is_zero()) nodes_[*level][index] = *name;
      chunk = std::min(chunk + MapGeometry::span(*level), geometry_.chunk_count());
      continue;
    }
    const std::uint64_t index = chunk / kNodeNames;
    const std::uint64_t here = std::min(end, (index + 1) * kNodeNames);
    const auto leaf = base_.node(0, index);
    if (!leaf) return base_lost(leaf.error());
    if (*leaf) {
      const auto names = std::span((*leaf)->names).subspan(chunk % kNodeNames, here - chunk);
      if (std::any_of(names.begin(), names.end(), [](const ChunkName& name) { return !name.is_zero(); }))
        CAIRN_CHECK(take(index, chunk % kNodeNames, names));
    }
    chunk = here;
  }
  return {};
}

Result<std::uint64_t> CarryOver::data_bytes() {
  CAIRN_CHECK(not_carried(base_.geometry().chunk_count()));
  next_chunk_ = std::max(next_chunk_, base_.geometry().chunk_count());
  if (lost_data_bytes_ > base_.data_bytes())
    return fail(ErrorCode::tracking_base_lost, "take over", "what did not change",
                "the earlier point's disk has more data than it says");
  return base_.data_bytes() - lost_data_bytes_;
}

}  // namespace cairn
