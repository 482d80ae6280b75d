// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/map/disk_map_reader.h"

#include <algorithm>

namespace cairn {
namespace {
constexpr std::size_t kNodesInOrder = 8;  // a path from the root, and the end of the one before
}

DiskMapReader::DiskMapReader(ChunkSource& source, const MapRecord& map, std::uint32_t chunk_size, std::string object,
                             std::size_t nodes)
    : source_(source),
      map_(map),
      geometry_(map.size, chunk_size),
      root_level_(geometry_.root_level()),
      object_(std::move(object)),
      kept_(Lru<std::uint64_t, SharedNode>({.entries = nodes})) {}

DiskMapReader::DiskMapReader(ChunkSource& source, const MapRecord& map, std::uint32_t chunk_size)
    : DiskMapReader(source, map, chunk_size, map.root.hex().substr(0, 16), kNodesInOrder) {}

Result<ChunkName> DiskMapReader::node_name(unsigned level, std::uint64_t index) {
  CAIRN_ASSERT(level <= root_level_ && index < geometry_.node_count(level));
  if (level == root_level_) return map_.root;
  CAIRN_TRY(const SharedNode parent, node(level + 1, index / kNodeNames));
  return parent ? parent->names[index % kNodeNames] : ChunkName{};
}

Result<DiskMapReader::SharedNode> DiskMapReader::node(unsigned level, std::uint64_t index) {
  const std::uint64_t key = index * 8 + level;
  {
    const auto kept = kept_.lock();
    if (const SharedNode* found = kept->find(key)) return *found;
  }
  CAIRN_TRY(const ChunkName name, node_name(level, index));
  if (name.is_zero()) return SharedNode();
  CAIRN_TRY(const SharedBuffer bytes, source_.fetch(RecordKind::node, name));
  CAIRN_TRY(MapNode decoded, decode_node(bytes->view(), level, geometry_.name_count(level, index), object_));
  auto shared = std::make_shared<const MapNode>(std::move(decoded));
  kept_.lock()->keep(key, shared);
  return SharedNode(shared);
}

Result<std::uint64_t> DiskMapReader::data_bytes_in(std::uint64_t first_chunk, std::uint64_t end_chunk) {
  end_chunk = std::min(end_chunk, geometry_.chunk_count());
  if (first_chunk >= end_chunk) return std::uint64_t{0};
  return data_bytes_below(root_level_, 0, first_chunk, end_chunk);
}

Result<std::uint64_t> DiskMapReader::data_bytes_below(unsigned level, std::uint64_t index, std::uint64_t first,
                                                      std::uint64_t end) {
  CAIRN_TRY(const auto here, node(level, index));
  std::uint64_t bytes = 0;
  if (!here) return bytes;
  const std::uint64_t per_name = level == 0 ? 1 : MapGeometry::span(level - 1);
  const std::uint64_t start = index * MapGeometry::span(level);
  std::uint64_t name = first > start ? (first - start) / per_name : 0;
  for (; name < here->names.size() && start + name * per_name < end; ++name) {
    if (here->names[name].is_zero()) continue;
    if (level == 0) {
      bytes += geometry_.chunk_bytes(start + name);
    } else {
      CAIRN_TRY(const std::uint64_t more, data_bytes_below(level - 1, index * kNodeNames + name, first, end));
      bytes += more;
    }
  }
  return bytes;
}

}  // namespace cairn
