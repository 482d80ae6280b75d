// SPDX-License-Identifier: GPL-3.0-or-later
// How much room a disk needs at least, from a sample of it.
#include "fs/store/write/room.h"

#include <gtest/gtest.h>

#include "fs/store/write/ingest.h"
#include "fs/store/write/store_writer.h"
#include "tests/fs/store/stored_disk.h"

namespace cairn {
namespace {

constexpr std::uint64_t kRoomMiB = 1024 * 1024;

TEST(Room, WhatIsNewAndDoesNotCompressIsCountedAndNeverMoreThanIsNeeded) {
  const TemporaryStore place;
  const auto store = place.open();
  const auto writer = value_of(begin_writing(*store, "test"));
  MemoryImage image(100 * kRoomMiB);
  image.fill_random(20 * kRoomMiB, 40 * kRoomMiB, 1);
  const std::uint64_t needed = value_of(least_room_needed(*writer, image, {}));
  EXPECT_GT(needed, 20 * kRoomMiB);
  EXPECT_LE(needed, 40 * kRoomMiB);

  MemoryImage text(100 * kRoomMiB);
  text.write(0, Buffer(40 * kRoomMiB, 'a'));
  EXPECT_EQ(value_of(least_room_needed(*writer, text, {})), 0U) << "it compresses";
  MemoryImage small(4 * kRoomMiB);
  small.fill_random(0, 4 * kRoomMiB, 2);
  EXPECT_EQ(value_of(least_room_needed(*writer, small, {})), 0U) << "too little to say";

  value_of(ingest_disk(*writer, image, {}));
  expect_ok(writer->flush());
  EXPECT_EQ(value_of(least_room_needed(*writer, image, {})), 0U) << "the store has it";
}

}  // namespace
}  // namespace cairn
