// SPDX-License-Identifier: GPL-3.0-or-later
// For tests of a store: is a point what its image was, which files are there, and what a flipped byte does.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {

// All bytes of a stored disk.
inline Buffer read_disk(Store& store, const MapRecord& map) {
  Buffer bytes(map.size);
  EXPECT_EQ(value_of(store.open_disk(map, "test")->read(0, bytes)), map.size);
  return bytes;
}

// The first disk of the point equals the image, byte for byte.
inline void expect_same(Store& store, const PointName& name, const MemoryImage& image) {
  const RecoveryPoint point = value_of(store.points().load(name));
  const MapRecord& map = point.disks.at(0).map;
  ASSERT_EQ(map.size, image.size());
  EXPECT_TRUE(read_disk(store, map) == image.content(0, image.size())) << name.text();
}

inline std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  if (!std::filesystem::exists(folder)) return files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

inline void flip_byte(const std::filesystem::path& file, std::uint64_t offset) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(offset));
  const char byte = static_cast<char>(stream.get() ^ 0x40);
  stream.seekp(static_cast<std::streamoff>(offset));
  stream.put(byte);
}

}  // namespace cairn
