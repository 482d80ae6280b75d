// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/map/map_walk.h"

#include <vector>

namespace cairn {
namespace {
// Nodes below one node that are fetched together: 32 KiB each.
constexpr std::size_t kBatch = 64;
}  // namespace

MapWalk::MapWalk(ChunkSource& source, Index& index, std::uint32_t chunk_size)
    : source_(source), index_(index), chunk_size_(chunk_size) {}

Result<void> MapWalk::walk(const MapRecord& map, const std::string& object, MapVisitor& visitor) {
  if (map.root.is_zero() || map.size == 0) return {};
  const MapGeometry geometry(map.size, chunk_size_);
  // The root is met as if a node above it named it.
  const MapNode above{geometry.root_level() + 1, {map.root}};
  return below(geometry, above.level, 0, above, object, visitor);
}

Result<void> MapWalk::below(const MapGeometry& geometry, unsigned level, std::uint64_t index, const MapNode& node,
                            const std::string& object, MapVisitor& visitor) {
  const RecordKind kind = level == 0 ? RecordKind::chunk : RecordKind::node;
  const unsigned below_level = level == 0 ? 0 : level - 1;
  CAIRN_CHECK(visitor.enter());
  std::vector<std::optional<IndexEntry>> entries(node.names.size());
  CAIRN_CHECK(index_.places(node.names, entries));
  std::vector<ChunkName> absent;
  for (std::size_t i = 0; i < entries.size(); ++i)
    if (!entries[i] && !node.names[i].is_zero()) absent.push_back(node.names[i]);
  if (!absent.empty()) CAIRN_CHECK(index_.check_absent(absent));
  struct Child {
    MapPlace place;
    const IndexEntry* entry;
  };
  std::vector<Child> children;
  std::vector<ChunkName> names;
  const auto go_below = [&]() -> Result<void> {
    std::vector<Result<SharedBuffer>> nodes(names.size(), SharedBuffer());
    source_.fetch_all(RecordKind::node, names,
                      [&](std::size_t i, Result<SharedBuffer> outcome) { nodes[i] = std::move(outcome); });
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const auto& [place, entry] = children[i];
      const auto decode = [&]() -> Result<MapNode> {
        if (!nodes[i]) return pass_on(std::move(nodes[i]).error());
        CAIRN_CHECK(visitor.check(place, names[i], (*nodes[i])->view()));
        return decode_node((*nodes[i])->view(), place.level, geometry.name_count(place.level, place.index), object);
      };
      const auto decoded = decode();
      nodes[i] = SharedBuffer();
      if (decoded) {
        CAIRN_CHECK(below(geometry, place.level, place.index, *decoded, object, visitor));
        visitor.leave(place, entry);
      } else {
        CAIRN_CHECK(visitor.unreadable(place, names[i], entry, decoded.error()));
      }
    }
    children.clear();
    names.clear();
    return {};
  };
  for (std::size_t i = 0; i < node.names.size(); ++i) {
    const ChunkName& name = node.names[i];
    if (name.is_zero()) continue;
    const MapPlace place{kind, below_level, index * kNodeNames + i};
    const IndexEntry* entry = entries[i] ? &*entries[i] : nullptr;
    const bool wanted = visitor.meet(place, name, entry);
    if (kind != RecordKind::node || !wanted) continue;
    children.push_back({place, entry});
    names.push_back(name);
    if (names.size() == kBatch) CAIRN_CHECK(go_below());
  }
  return go_below();
}

}  // namespace cairn
