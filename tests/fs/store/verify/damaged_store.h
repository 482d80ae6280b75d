// SPDX-License-Identifier: GPL-3.0-or-later
// For tests of damage: where the records of a point lie, and which of its bytes cannot be read.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>

#include "fs/io/local_backend.h"
#include "fs/store/map/disk_map.h"
#include "fs/store/store_state.h"
#include "tests/fs/store/stored_disk.h"
#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {

inline std::vector<PackRow> packs_of(Store& store) {
  return value_of(value_of(store.index().get())->packs());
}
inline Index::Located located(Store& store, const ChunkName& name) {
  const auto found = value_of(value_of(store.index().get())->locate(name));
  if (!found) throw std::runtime_error("the index does not know the chunk");
  return *found;
}
inline std::filesystem::path pack_holding(Store& store, const ChunkName& name) {
  return store.path() / pack_object(located(store, name).pack_name);
}
inline ChunkName chunk_name_of(Store& store, const RecoveryPoint& point, std::uint64_t chunk) {
  return value_of(store.open_disk(point.disks[0].map, "test")->chunk_name(chunk));
}
inline PackRecord record_of_chunk(Store& store, const RecoveryPoint& point, std::uint64_t chunk) {
  const ChunkName name = chunk_name_of(store, point, chunk);
  return {name, located(store, name).place};
}
inline std::filesystem::path pack_of_chunk(Store& store, const RecoveryPoint& point, std::uint64_t chunk) {
  return pack_holding(store, chunk_name_of(store, point, chunk));
}
inline PackRecord record_of_node(Store& store, const RecoveryPoint& point, unsigned level, std::uint64_t index) {
  const MapRecord& map = point.disks[0].map;
  const MapGeometry geometry(map.size, store.info().chunk_size);
  ChunkName name = map.root;
  for (unsigned at = geometry.root_level(); at > level; --at) {
    const std::uint64_t here = index / (MapGeometry::span(at) / MapGeometry::span(level));
    const auto bytes = value_of(store.chunks().fetch(RecordKind::node, name));
    const MapNode node = value_of(decode_node(bytes->view(), at, geometry.name_count(at, here), "test"));
    name = node.names[index / (MapGeometry::span(at - 1) / MapGeometry::span(level)) % kNodeNames];
  }
  return {name, located(store, name).place};
}

// Reads the point's disk chunk by chunk: where it cannot be read. What can be is what the image says.
inline std::vector<ByteRange> readable_ranges_missing(Store& store, const RecoveryPoint& point,
                                                      const MemoryImage& image) {
  std::vector<ByteRange> missing;
  store.state().packs.clear();
  const auto disk = store.open_disk(point.disks[0].map, "test");
  for (std::uint64_t i = 0; i < disk->chunk_count(); ++i) {
    const std::uint64_t offset = i * disk->chunk_size();
    Buffer bytes(disk->chunk_bytes(i));
    if (disk->read(offset, bytes)) {
      EXPECT_EQ(bytes, image.content(offset, bytes.size())) << "chunk " << i;
    } else if (!missing.empty() && missing.back().offset + missing.back().size == offset) {
      missing.back().size += bytes.size();
    } else {
      missing.push_back({offset, bytes.size()});
    }
  }
  return missing;
}

// A directory whose packs, or what else begins with `prefix`, cannot be read, from start() on.
class FailingReads final : public Backend {
 public:
  FailingReads(const std::filesystem::path& directory, ErrorCode code, std::string prefix = "packs/")
      : inner_(directory), code_(code), prefix_(std::move(prefix)) {}
  void start() { failing_ = true; }
  void stop() { failing_ = false; }
  [[nodiscard]] std::string location() const override { return inner_.location(); }
  using Backend::put;
  Result<void> put(std::string_view name, std::span<const ByteView> parts, IfExists if_exists) override {
    return inner_.put(name, parts, if_exists);
  }
  Result<std::unique_ptr<ObjectReader>> open(std::string_view name) override {
    if (failing_ && name.starts_with(prefix_)) return fail(code_, "open", std::string(name), "for the moment");
    return inner_.open(name);
  }
  Result<std::vector<std::string>> list(std::string_view prefix) override { return inner_.list(prefix); }
  Result<void> remove(std::string_view name) override { return inner_.remove(name); }
  Result<std::unique_ptr<ObjectHold>> hold(std::string_view name) override { return inner_.hold(name); }
  Result<bool> remove_unless_held(std::string_view name) override { return inner_.remove_unless_held(name); }
  Result<std::optional<std::uint64_t>> change_token(std::string_view prefix) override {
    return inner_.change_token(prefix);
  }
  Result<void> remove_leftovers() override { return inner_.remove_leftovers(); }

 private:
  LocalBackend inner_;
  const ErrorCode code_;
  const std::string prefix_;
  std::atomic<bool> failing_ = false;
};

}  // namespace cairn
