// SPDX-License-Identifier: GPL-3.0-or-later
// Header areas as an image: only they are data, whatever the header claims.
#include "daemon/keys/header_image.h"

#include <gtest/gtest.h>

#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

constexpr std::uint64_t kDisk = 1024 * 1024;

VolumeFacts volume_at(std::uint64_t offset, std::uint64_t size, std::vector<ByteRange> header) {
  VolumeFacts volume;
  volume.place = {offset, size};
  volume.header = std::move(header);
  return volume;
}

TEST(HeaderImage, ShowsTheAreasAndZerosBetweenThem) {
  MemoryImage disk(kDisk);
  disk.fill_random(0, kDisk, 1);
  HeaderImage header(disk, volume_at(8192, 500'000, {{0, 4096}, {10'000, 5000}}));
  ASSERT_EQ(header.size(), 15'000U);
  Buffer bytes(15'000);
  expect_ok(header.read(0, bytes));
  Buffer expected(15'000);
  const Buffer first = disk.content(8192, 4096);
  const Buffer second = disk.content(8192 + 10'000, 5000);
  std::copy(first.begin(), first.end(), expected.begin());
  std::copy(second.begin(), second.end(), expected.begin() + 10'000);
  EXPECT_EQ(bytes, expected);

  EXPECT_EQ(value_of(header.extent_at(0)).kind, ExtentKind::data);
  EXPECT_EQ(value_of(header.extent_at(4096)).size, 10'000U - 4096U);
  EXPECT_EQ(value_of(header.extent_at(4096)).kind, ExtentKind::hole);
  EXPECT_EQ(value_of(header.extent_at(12'000)).size, 3000U);
}

TEST(HeaderImage, ClampsSortsAndMergesHostileAreas) {
  MemoryImage disk(kDisk);
  const std::uint64_t huge = ~std::uint64_t{0};
  HeaderImage overlapping(disk, volume_at(0, kDisk, {{5000, 100}, {0, 4096}, {4000, 200}, {5050, 10}}));
  EXPECT_EQ(overlapping.size(), 5100U);
  EXPECT_EQ(value_of(overlapping.extent_at(0)).size, 4200U);
  HeaderImage too_long(disk, volume_at(kDisk - 100, huge, {{0, huge}, {huge, huge}}));
  EXPECT_EQ(too_long.size(), 100U);
  EXPECT_EQ(HeaderImage(disk, volume_at(huge, huge, {{0, 4096}})).size(), 0U);
  EXPECT_EQ(HeaderImage(disk, volume_at(0, kDisk, {})).size(), 0U);
  EXPECT_EQ(HeaderImage(disk, volume_at(0, 1000, {{1000, 10}})).size(), 0U);
}

}  // namespace
}  // namespace cairn
