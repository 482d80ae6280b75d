// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/map/map_diff.h"

#include <algorithm>

#include "fs/store/map/disk_map_reader.h"

namespace cairn {
namespace {

class Walk {
 public:
  Walk(ChunkSource& source, const MapRecord& one, const MapRecord& other, std::uint32_t chunk_size,
       const std::function<Result<void>(ByteRange)>& visit)
      : one_(source, one, chunk_size), other_(source, other, chunk_size), visit_(visit) {
    const std::uint64_t smaller = std::min(one.size, other.size);
    const std::uint64_t last_part = smaller % chunk_size;
    // A last chunk that is shorter in one of the two has another name in any case.
    chunks_ = smaller / chunk_size + (one.size == other.size && last_part != 0 ? 1 : 0);
  }

  Result<void> run() {
    const unsigned level = std::min(one_.root_level(), other_.root_level());
    for (std::uint64_t index = 0; index * MapGeometry::span(level) < chunks_; ++index)
      CAIRN_CHECK(compare(level, index));
    return {};
  }

 private:
  Result<void> compare(unsigned level, std::uint64_t index) {
    CAIRN_TRY(const ChunkName one_name, one_.node_name(level, index));
    CAIRN_TRY(const ChunkName other_name, other_.node_name(level, index));
    // The same name: the same bytes, number of names included.
    if (one_name == other_name) return {};
    const std::uint64_t per_name = level == 0 ? 1 : MapGeometry::span(level - 1);
    const std::uint64_t start = index * MapGeometry::span(level);
    if (level > 0) {
      for (std::uint64_t i = 0; i < kNodeNames && start + i * per_name < chunks_; ++i)
        CAIRN_CHECK(compare(level - 1, index * kNodeNames + i));
      return {};
    }
    CAIRN_TRY(const auto one_leaf, one_.node(0, index));
    CAIRN_TRY(const auto other_leaf, other_.node(0, index));
    for (std::uint64_t i = 0; i < kNodeNames && start + i < chunks_; ++i) {
      const ChunkName a = one_leaf ? one_leaf->names[i] : ChunkName{};
      const ChunkName b = other_leaf ? other_leaf->names[i] : ChunkName{};
      if (a == b) continue;
      const std::uint64_t chunk_size = one_.geometry().chunk_size();
      CAIRN_CHECK(visit_({(start + i) * chunk_size, one_.geometry().chunk_bytes(start + i)}));
    }
    return {};
  }

  DiskMapReader one_;
  DiskMapReader other_;
  const std::function<Result<void>(ByteRange)>& visit_;
  std::uint64_t chunks_ = 0;
};

}  // namespace

Result<void> visit_differences(ChunkSource& source, const MapRecord& one, const MapRecord& other,
                               std::uint32_t chunk_size, const std::function<Result<void>(ByteRange)>& visit) {
  return Walk(source, one, other, chunk_size, visit).run();
}

}  // namespace cairn
