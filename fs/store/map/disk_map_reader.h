// SPDX-License-Identifier: GPL-3.0-or-later
// DiskMapReader: the nodes of one stored disk map, by level and index; the most recently used stay in memory, 32 KiB
// each. For a walk over all of a map see map_walk.h. Internal to fs/store. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "config/base/guarded.h"
#include "config/base/lru.h"
#include "config/base/result.h"
#include "fs/store/map/disk_map.h"
#include "fs/store/map/map_record.h"
#include "fs/store/pack/chunk_source.h"

namespace cairn {

class DiskMapReader {
 public:
  using SharedNode = std::shared_ptr<const MapNode>;

  // `source` must outlive this. `object` names the disk in errors; `nodes` bounds how many nodes are kept.
  DiskMapReader(ChunkSource& source, const MapRecord& map, std::uint32_t chunk_size, std::string object,
                std::size_t nodes);
  // For who reads a map front to back, as the base of a new one: keeps few nodes. Errors name the map's root.
  DiskMapReader(ChunkSource& source, const MapRecord& map, std::uint32_t chunk_size);

  [[nodiscard]] ChunkSource& source() const { return source_; }
  [[nodiscard]] const MapGeometry& geometry() const { return geometry_; }
  [[nodiscard]] unsigned root_level() const { return root_level_; }
  [[nodiscard]] const ChunkName& root() const { return map_.root; }
  [[nodiscard]] std::uint64_t data_bytes() const { return map_.data_bytes; }
  [[nodiscard]] const std::string& object() const { return object_; }

  // The name of node `index` of `level`; reads the nodes above it. Errors: map_damaged, those of ChunkSource::fetch.
  Result<ChunkName> node_name(unsigned level, std::uint64_t index);
  // The node itself; null: all of it is zero. Errors: the same.
  Result<SharedNode> node(unsigned level, std::uint64_t index);
  // Bytes of chunks [first, end) that are not zero. Reads their leaves. Errors: the same.
  Result<std::uint64_t> data_bytes_in(std::uint64_t first_chunk, std::uint64_t end_chunk);

 private:
  Result<std::uint64_t> data_bytes_below(unsigned level, std::uint64_t index, std::uint64_t first, std::uint64_t end);

  ChunkSource& source_;
  const MapRecord map_;
  const MapGeometry geometry_;
  const unsigned root_level_;
  const std::string object_;
  // By level and index. Not locked while a node is fetched: two threads may fetch the same node, which is harmless.
  Guarded<Lru<std::uint64_t, SharedNode>> kept_;
};

}  // namespace cairn
