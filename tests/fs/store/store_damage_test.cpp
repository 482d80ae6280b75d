// SPDX-License-Identifier: GPL-3.0-or-later
// A store of which something is damaged or lost: the index, a chunk, a point.
#include "fs/store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/base/units.h"
#include "fs/store/verify/rebuild_index.h"
#include "fs/store/write/store_writer.h"
#include "tests/fs/store/stored_disk.h"
#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(Store, RebuildsTheIndexFromThePacksAlone) {
  const TemporaryStore place;
  MemoryImage image(20 * kMiB);
  image.fill_random(0, 20 * kMiB, 1);
  const auto store = place.open();
  const RecoveryPoint point = value_of(take_backup(*store, image, "vm", test_time()));
  const auto reader_that_goes_on = place.open();
  EXPECT_EQ(read_disk(*reader_that_goes_on, point.disks[0].map), image.content(0, image.size()));

  std::filesystem::remove_all(place.path() / "index");
  const auto fresh = place.open();
  EXPECT_EQ(read_disk(*fresh, point.disks[0].map), image.content(0, image.size()));
  EXPECT_EQ(begin_writing(*fresh, "test").error().code, ErrorCode::index_missing);

  const RebuildReport report = value_of(rebuild_index(*fresh));
  EXPECT_EQ(report.packs, files_in(place.path() / "packs").size());
  EXPECT_THAT(report.damaged_packs, IsEmpty());
  EXPECT_EQ(read_disk(*fresh, point.disks[0].map), image.content(0, image.size()));
  EXPECT_EQ(read_disk(*reader_that_goes_on, point.disks[0].map), image.content(0, image.size()));

  // A new point of another process shows to a reader that had the old index open.
  MemoryImage other(kMiB);
  other.fill_random(0, kMiB, 5);
  const RecoveryPoint later = value_of(take_backup(*fresh, other, "vm", test_time(1)));
  EXPECT_EQ(read_disk(*reader_that_goes_on, later.disks[0].map), other.content(0, other.size()));
}

TEST(Store, AGarbledOrShortenedIndexIsDamagedAndCanBeRebuilt) {
  const TemporaryStore place;
  MemoryImage image(4 * kMiB);
  image.fill_random(0, 4 * kMiB, 1);
  {
    value_of(take_backup(*place.open(), image, "vm", test_time()));
  }
  const auto data = place.path() / "index" / "data.mdb";
  for (const std::uintmax_t size : {std::uintmax_t{0}, std::uintmax_t{100}, std::filesystem::file_size(data) / 2}) {
    std::filesystem::resize_file(data, size);
    const auto store = place.open();
    EXPECT_EQ(begin_writing(*store, "test").error().code, ErrorCode::index_damaged) << size;
    EXPECT_EQ(value_of(rebuild_index(*store)).damaged_packs.size(), 0U);
    value_of(begin_writing(*store, "test"));
  }
}

TEST(Store, ADamagedChunkFailsAloneAndIsNamed) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(8 * kMiB);
  image.fill_random(0, 8 * kMiB, 1);
  const RecoveryPoint point = value_of(take_backup(*store, image, "vm", test_time()));
  const auto packs = files_in(place.path() / "packs");
  ASSERT_FALSE(packs.empty());
  flip_byte(packs[0], kPackHeaderBytes + 1000);
  const auto again = place.open();
  const auto reader = again->open_disk(point.disks[0].map, "test");
  std::size_t bad = 0;
  for (std::uint64_t i = 0; i < reader->chunk_count(); ++i) {
    const auto chunk = reader->chunk(i);
    if (chunk) continue;
    ++bad;
    EXPECT_EQ(chunk.error().code, ErrorCode::chunk_damaged);
    EXPECT_THAT(chunk.error().message(), HasSubstr(packs[0].filename().string()));
  }
  EXPECT_EQ(bad, 1U);
}

TEST(Store, ADamagedPointIsDistinctAndAloneAffected) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(kMiB);
  image.fill_random(0, kMiB, 1);
  const RecoveryPoint first = value_of(take_backup(*store, image, "vm", test_time()));
  const RecoveryPoint second = value_of(take_backup(*store, image, "vm", test_time(1)));
  const auto file = place.path() / "points" / first.name.text();
  for (const std::uint64_t offset : {0U, 9U, 13U, 20U, 40U, 100U}) {
    flip_byte(file, offset);
    const auto loaded = store->points().load(first.name);
    ASSERT_FALSE(loaded) << offset;
    EXPECT_TRUE(loaded.error().code == ErrorCode::point_damaged || loaded.error().code == ErrorCode::store_too_new)
        << offset;
    flip_byte(file, offset);
  }
  EXPECT_TRUE(store->points().load(second.name));
  // Under another's name it is not accepted either.
  std::filesystem::rename(place.path() / "points" / second.name.text(), file);
  EXPECT_EQ(store->points().load(first.name).error().code, ErrorCode::point_damaged);
}

}  // namespace
}  // namespace cairn
