// SPDX-License-Identifier: GPL-3.0-or-later
// Disk maps: the tree of chunk names that makes up one disk. Bytes: fs/store/FORMAT.md "Disk map". Pure. Any thread.
//
// Level 0 nodes name chunks, level n nodes name level n-1 nodes; up to 1024 names a node. What is all zero has the zero
// name at every level and no node. The tree's shape follows from the disk's size alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/base/bytes.h"
#include "config/base/result.h"
#include "crypto/chunk_name.h"

namespace cairn {

inline constexpr std::uint64_t kNodeNames = 1024;
inline constexpr std::size_t kNodeHeaderBytes = 8;

// The shape of the tree over a disk.
class MapGeometry {
 public:
  MapGeometry(std::uint64_t size_bytes, std::uint32_t chunk_size)
      : size_(size_bytes), chunk_size_(chunk_size), chunks_((size_bytes + chunk_size - 1) / chunk_size) {}

  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] std::uint32_t chunk_size() const { return chunk_size_; }
  [[nodiscard]] std::uint64_t chunk_count() const { return chunks_; }
  // Bytes of chunk `index`; the last one may be shorter.
  [[nodiscard]] std::uint32_t chunk_bytes(std::uint64_t index) const;
  // The root's level; 0 when all chunks fit into one node.
  [[nodiscard]] unsigned root_level() const;
  // How many chunks a whole node of this level covers.
  [[nodiscard]] static std::uint64_t span(unsigned level);
  // How many names node `index` of this level has.
  [[nodiscard]] std::uint32_t name_count(unsigned level, std::uint64_t index) const;
  // The part of the disk that node `index` of this level stands for.
  [[nodiscard]] ByteRange bytes_below(unsigned level, std::uint64_t index) const;
  [[nodiscard]] std::uint64_t node_count(unsigned level) const { return (chunks_ + span(level) - 1) / span(level); }

 private:
  std::uint64_t size_;
  std::uint32_t chunk_size_;
  std::uint64_t chunks_;
};

struct MapNode {
  unsigned level = 0;
  std::vector<ChunkName> names;
  [[nodiscard]] bool is_zero() const;
};

// Takes the zero names out of `names`; the places of those that are left, ascending.
std::vector<std::size_t> drop_zero_names(std::vector<ChunkName>& names);

Buffer encode_node(const MapNode& node);
// Errors: map_damaged, also when level or count are not those expected.
Result<MapNode> decode_node(ByteView bytes, unsigned level, std::uint32_t name_count, const std::string& object);

}  // namespace cairn
