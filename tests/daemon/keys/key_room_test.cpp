// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/keys/key_room.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/store/point/point_file.h"

namespace cairn {
namespace {

GatheredKeys key_of(std::size_t bytes) {
  GatheredKeys keys;
  BekRecord bek{"main", "web-root", "1", {}, {}};
  bek.bek.wrapped.bytes.resize(bytes);
  keys.beks.push_back(std::move(bek));
  return keys;
}

constexpr std::size_t kLongestKeyFile = std::size_t{8} * 1024 * 1024;

TEST(KeyRoom, FiveOfTheLongestKeyFilesFitAndASixthIsRefusedByName) {
  KeyRoom room;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(room.take(key_of(kLongestKeyFile), "web/disk"));
  const auto sixth = room.take(key_of(kLongestKeyFile), "web/sixth");
  ASSERT_FALSE(sixth);
  EXPECT_EQ(sixth.error().code, ErrorCode::keys_too_large);
  EXPECT_THAT(sixth.error().message(), testing::HasSubstr("56.0 MiB"));
  EXPECT_THAT(sixth.error().message(), testing::HasSubstr("luksAddKey"));
  EXPECT_TRUE(room.take(key_of(64), "web/short")) << "what was refused is not counted";
}

TEST(KeyRoom, CountsWhatTheDocumentHolds) {
  // As many keys as fit, whatever their number: with them the document stays below its bound.
  KeyRoom room;
  std::uint64_t bytes = 0;
  while (room.take(key_of(1'000'000), "web/disk")) bytes += 1'000'000;
  EXPECT_GT(bytes * 4 / 3, kMostKeyBytes - 2'000'000);
  EXPECT_LE(bytes * 4 / 3, kMostKeyBytes);
  EXPECT_LT(kMostKeyBytes, kMaxPointBytes);
}

}  // namespace
}  // namespace cairn
