// SPDX-License-Identifier: GPL-3.0-or-later
// CarryOver: takes what did not change since an earlier point over into a new disk map by its names, whole subtrees at
// a time: nothing below a name that is taken is read, not even the nodes. Why that is safe: fs/image/TRACKING.md.
// Internal to fs/store. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "fs/store/map/disk_map_reader.h"

namespace cairn {

class CarryOver {
 public:
  // `base`: the earlier point's disk; `size`: of the new one, bytes. `source` must outlive this.
  CarryOver(ChunkSource& source, const MapRecord& base, std::uint64_t size, std::uint32_t chunk_size);

  // How far, from byte `offset` (a multiple of the chunk size), whole chunks lie in an "as before" extent that ends at
  // `extent_end` and are as long in both disks. `offset` itself: not even one.
  [[nodiscard]] std::uint64_t end_of(std::uint64_t offset, std::uint64_t extent_end) const;

  // Names of some neighbouring chunks of leaf `leaf`, from the leaf's chunk `first` on; at least one is not zero.
  using TakeChunks =
      std::function<Result<void>(std::uint64_t leaf, std::size_t first, std::span<const ChunkName> names)>;
  // Takes over the chunks of [offset, end), where `end` is from end_of(). Calls come in ascending order. What does not
  // fill a node goes to `take`. Errors: tracking_base_lost; for ever after.
  Result<void> carry(std::uint64_t offset, std::uint64_t end, const TakeChunks& take);

  // Whole nodes that were taken over, by index; those that are not zero.
  [[nodiscard]] const std::map<std::uint64_t, ChunkName>& nodes(unsigned level) const { return nodes_[level]; }
  // Bytes in all chunks taken over that are not zero. Once, after the last carry(). Reads the leaves of what was not
  // taken over. Errors: tracking_base_lost.
  Result<std::uint64_t> data_bytes();
  // Bytes of the disk that were taken over, zeros as well.
  [[nodiscard]] std::uint64_t carried_bytes() const { return carried_bytes_; }

 private:
  Result<void> carry_chunks(std::uint64_t first, std::uint64_t end, const TakeChunks& take);
  [[nodiscard]] std::optional<unsigned> whole_node_at(std::uint64_t chunk, std::uint64_t end) const;
  Result<void> not_carried(std::uint64_t end_chunk);

  DiskMapReader base_;
  MapGeometry geometry_;
  unsigned top_level_;        // the highest that both maps have
  std::uint64_t common_end_;  // bytes; chunks before it are as long in both
  std::vector<std::map<std::uint64_t, ChunkName>> nodes_;
  std::uint64_t carried_bytes_ = 0;
  std::uint64_t next_chunk_ = 0;       // all before are settled
  std::uint64_t lost_data_bytes_ = 0;  // of the base, in chunks that were not taken over
};

}  // namespace cairn
