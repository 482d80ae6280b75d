// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/map/disk_map.h"

#include <algorithm>

namespace cairn {

std::uint32_t MapGeometry::chunk_bytes(std::uint64_t index) const {
  CAIRN_ASSERT(index < chunks_);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(chunk_size_, size_ - index * chunk_size_));
}

unsigned MapGeometry::root_level() const {
  unsigned level = 0;
  while (span(level) < chunks_) ++level;
  return level;
}

std::uint64_t MapGeometry::span(unsigned level) {
  CAIRN_ASSERT(level <= 5);  // 2^60 chunks
  return std::uint64_t{1} << (10 * (level + 1));
}

std::uint32_t MapGeometry::name_count(unsigned level, std::uint64_t index) const {
  const std::uint64_t first_chunk = index * span(level);
  CAIRN_ASSERT(first_chunk < chunks_);
  const std::uint64_t chunks = std::min(span(level), chunks_ - first_chunk);
  const std::uint64_t per_name = level == 0 ? 1 : span(level - 1);
  return static_cast<std::uint32_t>((chunks + per_name - 1) / per_name);
}
ByteRange MapGeometry::bytes_below(unsigned level, std::uint64_t index) const {
  const std::uint64_t first = index * span(level);
  const std::uint64_t end = std::min(first + span(level), chunks_);
  const std::uint64_t offset = first * chunk_size_;
  return {offset, std::min(end * chunk_size_, size_) - offset};
}

bool MapNode::is_zero() const {
  return std::all_of(names.begin(), names.end(), [](const ChunkName& name) { return name.is_zero(); });
}

std::vector<std::size_t> drop_zero_names(std::vector<ChunkName>& names) {
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].is_zero()) continue;
    names[places.size()] = names[i];
    places.push_back(i);
  }
  names.resize(places.size());
  return places;
}

Buffer encode_node(const MapNode& node) {
  Buffer bytes;
  bytes.reserve(kNodeHeaderBytes + node.names.size() * kChunkNameBytes);
  append_le(bytes, static_cast<std::uint32_t>(node.level));
  append_le(bytes, static_cast<std::uint32_t>(node.names.size()));
  for (const ChunkName& name : node.names) append(bytes, name.view());
  return bytes;
}

Result<MapNode> decode_node(ByteView bytes, unsigned level, std::uint32_t name_count, const std::string& object) {
  const auto damaged = [&](const char* because) {
    return fail(ErrorCode::map_damaged, "read disk map of", object, because);
  };
  if (bytes.size() < kNodeHeaderBytes) return damaged("a node is too short");
  if (get_le<std::uint32_t>(bytes) != level) return damaged("a node is on another level than its place says");
  if (get_le<std::uint32_t>(bytes.subspan(4)) != name_count ||
      bytes.size() != kNodeHeaderBytes + std::size_t{name_count} * kChunkNameBytes)
    return damaged("a node has another number of names than the disk's size says");
  MapNode node;
  node.level = level;
  node.names.resize(name_count);
  for (std::uint32_t i = 0; i < name_count; ++i)
    node.names[i] = ChunkName::of(bytes.subspan(kNodeHeaderBytes + std::size_t{i} * kChunkNameBytes, kChunkNameBytes));
  return node;
}

}  // namespace cairn
