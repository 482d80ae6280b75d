// SPDX-License-Identifier: GPL-3.0-or-later
// MapWalk: the one walk over disk maps: visits what they are made of, node by node, so that a caller with RecordBits
// sees each shared subtree once. Memory: at most 64 nodes of 32 KiB for each level. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "config/base/result.h"
#include "fs/store/index/index.h"
#include "fs/store/map/disk_map.h"
#include "fs/store/map/map_record.h"
#include "fs/store/pack/chunk_source.h"

namespace cairn {

// Where in a disk a record stands.
struct MapPlace {
  RecordKind kind = RecordKind::chunk;
  unsigned level = 0;       // of the node; chunks: 0
  std::uint64_t index = 0;  // of the node on its level, or of the chunk
};

class MapVisitor {
 public:
  virtual ~MapVisitor() = default;
  // A name that is not zero. `entry`: where the index has it; null: nowhere. For a node: true: go below.
  // Called for chunks and for nodes, parents before children.
  virtual bool meet(const MapPlace& place, const ChunkName& name, const IndexEntry* entry) = 0;
  // A node that was to be gone below and cannot be read: what is below it is not visited.
  // Errors: what it returns ends the walk.
  virtual Result<void> unreadable(const MapPlace& place, const ChunkName& name, const IndexEntry* entry,
                                  const Error& error) = 0;

  // For who needs more; by default they do nothing.
  // The bytes of a node as they were read: whether they may be believed. Errors: why not; unreadable() is then called.
  virtual Result<void> check([[maybe_unused]] const MapPlace& place, [[maybe_unused]] const ChunkName& name,
                             [[maybe_unused]] ByteView bytes) {
    return {};
  }
  // Before the names of a node are met, the root's as well: it is the one name of a node above it, which has no name
  // itself. Errors: what it returns ends the walk.
  virtual Result<void> enter() { return {}; }
  // After all below a named node that was entered.
  virtual void leave([[maybe_unused]] const MapPlace& place, [[maybe_unused]] const IndexEntry* entry) {}
};

class MapWalk {
 public:
  // All must outlive this.
  MapWalk(ChunkSource& source, Index& index, std::uint32_t chunk_size);
  // `object` names the disk in errors. Errors: those of the index, and of the visitor.
  Result<void> walk(const MapRecord& map, const std::string& object, MapVisitor& visitor);

 private:
  Result<void> below(const MapGeometry& geometry, unsigned level, std::uint64_t index, const MapNode& node,
                     const std::string& object, MapVisitor& visitor);
  ChunkSource& source_;
  Index& index_;
  std::uint32_t chunk_size_;
};

}  // namespace cairn
