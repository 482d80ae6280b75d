// SPDX-License-Identifier: GPL-3.0-or-later
// BaseMap: the disk map of an earlier point, as the base of a new one: its nodes' names, its leaves, and how much data
// it has where. Keeps one node a level in memory. Internal to fs/store. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fs/store/map/disk_map.h"
#include "fs/store/map/disk_reader.h"
#include "fs/store/map/map_record.h"

namespace cairn {

class BaseMap {
 public:
  // `source` must outlive this.
  BaseMap(ChunkSource& source, const MapRecord& map, std::uint32_t chunk_size);

  [[nodiscard]] const MapGeometry& geometry() const { return geometry_; }
  [[nodiscard]] unsigned root_level() const { return root_level_; }
  [[nodiscard]] std::uint64_t data_bytes() const { return map_.data_bytes; }
  // The name of node `index` of `level`; reads the nodes above it. Errors: map_damaged, those of ChunkSource::fetch.
  Result<ChunkName> node_name(unsigned level, std::uint64_t index);
  // The node itself; null: all of it is zero. Errors: the same.
  Result<std::shared_ptr<const MapNode>> node(unsigned level, std::uint64_t index);
  // Bytes of chunks [first, end) that are not zero. Reads their leaves. Errors: the same.
  Result<std::uint64_t> data_bytes_in(std::uint64_t first_chunk, std::uint64_t end_chunk);

 private:
  Result<std::uint64_t> data_bytes_below(unsigned level, std::uint64_t index, std::uint64_t first, std::uint64_t end);

  struct Kept {
    std::uint64_t index = 0;
    std::shared_ptr<const MapNode> node;  // null: none is kept
  };
  ChunkSource& source_;
  MapRecord map_;
  MapGeometry geometry_;
  unsigned root_level_;
  std::vector<Kept> kept_;  // by level
};

}  // namespace cairn
