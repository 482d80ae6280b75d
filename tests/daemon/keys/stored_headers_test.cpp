// SPDX-License-Identifier: GPL-3.0-or-later
// Which stored header is that of which volume.
#include "daemon/keys/stored_headers.h"

#include <gtest/gtest.h>

#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

constexpr std::uint64_t kMiBytes = 1024 * 1024;

VolumeFacts volume_of(unsigned partition, std::vector<ByteRange> header) {
  VolumeFacts volume;
  volume.partition = partition;
  volume.place = {partition * kMiBytes, kMiBytes};
  volume.header = std::move(header);
  return volume;
}

HeaderRecord header_of(unsigned partition, std::uint64_t size) {
  HeaderRecord header;
  header.name = "root-part" + std::to_string(partition);
  header.map.size = size;
  header.partition = partition;
  return header;
}

class StoredHeaders : public testing::Test {
 protected:
  StoredHeaders() {
    disk_.name = "root";
    disk_.map.size = 4 * kMiBytes;
    disk_.facts.volumes = {volume_of(1, {{0, 4096}, {8192, 512}}), volume_of(2, {}), volume_of(3, {{0, 1000}})};
    disk_.headers = {header_of(1, 8704), header_of(3, 1000)};
  }
  [[nodiscard]] bool are_damaged() const {
    const auto headers = stored_headers(disk_, point_);
    return !headers && headers.error().code == ErrorCode::point_damaged;
  }

  const PointName point_{"web", UtcTime()};
  DiskRecord disk_;
};

TEST_F(StoredHeaders, EachIsThatOfItsVolume) {
  const auto headers = value_of(stored_headers(disk_, point_));
  ASSERT_EQ(headers.size(), 2U) << "a volume without header areas has none";
  EXPECT_EQ(headers[0].volume, &disk_.facts.volumes[0]);
  EXPECT_EQ(headers[0].record, &disk_.headers[0]);
  EXPECT_EQ(headers[0].areas.size(), 2U);
  EXPECT_EQ(headers[1].volume, &disk_.facts.volumes[2]);
  EXPECT_EQ(headers[1].record, &disk_.headers[1]);
}

TEST_F(StoredHeaders, NoneOnADiskThatIsNotEncrypted) {
  disk_.facts.volumes.clear();
  disk_.headers.clear();
  EXPECT_TRUE(value_of(stored_headers(disk_, point_)).empty());
}

TEST_F(StoredHeaders, ThoseOfOtherVolumesAreDamage) {
  const DiskRecord good = disk_;
  disk_.headers.pop_back();
  EXPECT_TRUE(are_damaged()) << "one is missing";
  disk_ = good;
  disk_.headers.push_back(header_of(4, 512));
  EXPECT_TRUE(are_damaged()) << "one is of no volume";
  disk_ = good;
  disk_.headers[1].map.size = 999;
  EXPECT_TRUE(are_damaged()) << "it does not end where the volume's last area ends";
  disk_ = good;
  disk_.headers[1].partition = 2;
  EXPECT_TRUE(are_damaged()) << "it says that it is another volume's";
  disk_ = good;
  std::swap(disk_.headers[0], disk_.headers[1]);
  EXPECT_TRUE(are_damaged()) << "they are in the order of the volumes";
}

TEST_F(StoredHeaders, TheBytesAreReadFromTheStoreAndFromTheDisk) {
  MemoryImage image(4 * kMiBytes);
  image.fill_random(0, 4 * kMiBytes, 1);
  Buffer bytes(512);
  expect_ok(read_live_header(image, disk_.facts.volumes[2])(100, bytes));
  EXPECT_EQ(bytes, image.content(3 * kMiBytes + 100, 512));

  const TemporaryStore directory;
  const auto store = directory.open();
  const auto none = read_stored_header(*store, disk_, disk_.facts.volumes[1], "web/root")(0, bytes);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::no_such_header);
}

}  // namespace
}  // namespace cairn
