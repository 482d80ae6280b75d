// SPDX-License-Identifier: GPL-3.0-or-later
// Verifying: damage of every kind is found, and named as what it means for the disks.
#include "fs/store/verify/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "config/base/units.h"
#include "fs/io/local_backend.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"
#include "tests/fs/store/verify/damaged_store.h"

namespace cairn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

VerifyReport verify(Store& store, double percent = 100) {
  VerifyOptions options;
  options.data_percent = percent;
  return value_of(verify_store(store, options));
}

TEST(Verify, AWholeStoreIsClean) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(10 * kMiB);
  image.fill_random(0, 5 * kMiB, 1);
  (void)value_of(take_backup(*store, image, "vm", test_time()));
  image.fill_random(kMiB, 100'000, 2);
  (void)value_of(take_backup(*store, image, "vm", test_time(60)));
  const VerifyReport report = verify(*store);
  EXPECT_TRUE(report.clean()) << to_json(report).dump(2);
  EXPECT_TRUE(report.complete);
  EXPECT_TRUE(report.recorded);
  EXPECT_EQ(report.points, 2U);
  EXPECT_EQ(report.packs, files_in(place.path() / "packs").size());
  EXPECT_EQ(report.bytes_read, report.pack_bytes);
  expect_ok(verdict_of(report, "s"));
  EXPECT_FALSE(std::filesystem::exists(place.path() / "damage"));
  EXPECT_EQ(value_of(verify_age(*store)).never_packs, 0U);
}

TEST(Verify, NamesExactlyTheChunksThatAFlippedByteCosts) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(10 * kMiB);
  image.fill_random(0, 10 * kMiB, 1);
  const RecoveryPoint point = value_of(take_backup(*store, image, "vm", test_time()));
  (void)value_of(take_backup(*store, image, "other", test_time(60)));
  const PackRecord record = record_of_chunk(*store, point, 17);
  flip_byte(pack_of_chunk(*store, point, 17), record.place.offset + 100);
  const VerifyReport report = verify(*store);
  ASSERT_THAT(report.damage.packs, SizeIs(1));
  ASSERT_THAT(report.damage.points, SizeIs(2));
  for (const PointDamage& damaged : report.damage.points) {
    ASSERT_THAT(damaged.disks, SizeIs(1));
    EXPECT_EQ(damaged.disks[0].disk, "root");
    EXPECT_THAT(damaged.disks[0].ranges, ElementsAre(ByteRange{17 * 64 * kKiB, 64 * kKiB}));
  }
  EXPECT_EQ(readable_ranges_missing(*store, point, image), (std::vector<ByteRange>{{17 * 64 * kKiB, 64 * kKiB}}));
  EXPECT_EQ(verdict_of(report, "s").error().code, ErrorCode::damage_found);
  // It stays known, also to a verify that reads no data.
  const VerifyReport again = verify(*store, 0);
  EXPECT_EQ(again.damage, report.damage);
  EXPECT_EQ(value_of(load_damage(*store)), report.damage);
}

TEST(Verify, AMissingPackIsNamedWithAllThatWasInIt) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(20 * kMiB);
  image.fill_random(0, 20 * kMiB, 1);
  const RecoveryPoint point = value_of(take_backup(*store, image, "vm", test_time()));
  std::filesystem::remove(pack_of_chunk(*store, point, 3));
  const auto again = place.open();
  const VerifyReport report = verify(*again, 0);
  ASSERT_THAT(report.damage.packs, SizeIs(1));
  EXPECT_EQ(report.damage.packs[0].state, PackState::missing);
  ASSERT_THAT(report.damage.points, SizeIs(1));
  EXPECT_EQ(report.damage.points[0].disks[0].ranges, readable_ranges_missing(*again, point, image));
}

TEST(Verify, ALostNodeCostsAllBelowIt) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(200 * kMiB);  // four leaves of 64 MiB under one root
  image.fill_random(0, 100, 1);
  image.fill_random(70 * kMiB, 100, 2);
  image.fill_random(130 * kMiB, 100, 3);
  const RecoveryPoint point = value_of(take_backup(*store, image, "vm", test_time()));
  const PackRecord leaf = record_of_node(*store, point, 0, 1);
  flip_byte(pack_holding(*store, leaf.name), leaf.place.offset + 40);
  const VerifyReport report = verify(*store, 0);
  ASSERT_THAT(report.damage.points, SizeIs(1));
  EXPECT_THAT(report.damage.points[0].disks[0].ranges, ElementsAre(ByteRange{64 * kMiB, 64 * kMiB}));
  EXPECT_THAT(report.damage.packs, SizeIs(1));  // found by its node, and then read whole
}

TEST(Verify, FindsEveryFlippedByteOfAPackWithAndWithoutKeys) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(kMiB);
  image.fill_random(0, 1000, 1);
  image.write(512 * kKiB, as_bytes("text, which compresses"));
  const RecoveryPoint point = value_of(take_backup(*store, image, "vm", test_time()));
  LocalBackend backend(place.path());
  std::mt19937 generator(5);
  for (const auto& pack : files_in(place.path() / "packs")) {
    const std::uint64_t size = std::filesystem::file_size(pack);
    for (std::uint64_t at = 0; at < size; at += 1 + generator() % (at < 64 || at + 600 > size ? 1 : 997)) {
      SCOPED_TRACE(pack.string() + " " + std::to_string(at));
      flip_byte(pack, at);
      EXPECT_THAT(value_of(verify_keyless(backend, {})).damaged, SizeIs(1));
      const auto fresh = place.open();
      VerifyOptions options;
      options.data_percent = 100;
      const VerifyReport report = value_of(verify_store(*fresh, options));
      EXPECT_THAT(report.damage.packs, SizeIs(1));
      const auto wrong = readable_ranges_missing(*fresh, point, image);
      const auto named =
          report.damage.points.empty() ? std::vector<ByteRange>() : report.damage.points[0].disks[0].ranges;
      EXPECT_EQ(named, wrong);
      flip_byte(pack, at);
      const VerifyReport repaired = value_of(verify_store(*fresh, options));
      EXPECT_TRUE(repaired.clean()) << to_json(repaired).dump(2);
    }
  }
}

TEST(Verify, ADamagedPointAndAGapAreNamed) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(kMiB);
  image.fill_random(0, 1000, 1);
  for (int i = 0; i < 4; ++i) {
    image.fill_random(0, 10, 10 + i);
    (void)value_of(take_backup(*store, image, "vm", test_time(i)));
  }
  const auto points = files_in(place.path() / "points");
  std::filesystem::remove(points[0]);
  flip_byte(points[2], 100);
  const VerifyReport report = verify(*store, 0);
  ASSERT_THAT(report.damage.points, SizeIs(1));
  EXPECT_EQ(report.damage.points[0].point.time, test_time(2));
  EXPECT_THAT(report.damage.points[0].because, HasSubstr("authenticate"));
  ASSERT_THAT(report.damage.gaps, SizeIs(1));  // the one after the damaged one names a file that is there
  EXPECT_EQ(report.damage.gaps[0].missing, PointName("vm", test_time(0)).text());

  VerifyOptions accept;
  accept.accept_gaps = true;
  EXPECT_THAT(value_of(verify_store(*store, accept)).damage.gaps, IsEmpty());
  EXPECT_THAT(verify(*store, 0).damage.gaps, IsEmpty());

  // Also when who named it is away for a while.
  const std::filesystem::path away = place.path() / "away";
  std::filesystem::rename(points[1], away);
  (void)verify(*store, 0);
  std::filesystem::rename(away, points[1]);
  EXPECT_THAT(verify(*store, 0).damage.gaps, IsEmpty());
}

TEST(Verify, AnotherFileUnderAPredecessorsNameIsAGap) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(kMiB);
  image.fill_random(0, 1000, 1);
  (void)value_of(take_backup(*store, image, "vm", test_time(0)));
  (void)value_of(take_backup(*store, image, "vm", test_time(1)));
  expect_ok(remove_point(*value_of(begin_writing(*store, "test")), {"vm", test_time(0)}));
  (void)value_of(take_backup(*store, image, "vm", test_time(0)));
  const VerifyReport report = verify(*store, 0);
  ASSERT_THAT(report.damage.gaps, SizeIs(1));
  EXPECT_EQ(report.damage.gaps[0].because, "its file is another");
}

TEST(Verify, WhatCannotBeReadForTheMomentIsNoDamage) {
  const TemporaryStore place;
  MemoryImage image(20 * kMiB);
  image.fill_random(0, 20 * kMiB, 1);
  (void)value_of(take_backup(*place.open(), image, "vm", test_time()));
  for (const ErrorCode code : {ErrorCode::io_error, ErrorCode::permission_denied}) {
    auto failing = std::make_shared<FailingReads>(place.path(), code);
    const auto store = value_of(Store::open(place.path(), failing, TemporaryStore::key()));
    failing->start();
    const VerifyReport report = verify(*store);
    EXPECT_TRUE(report.damage.none()) << to_json(report).dump(2);
    EXPECT_FALSE(report.unreadable.empty());
    EXPECT_EQ(verdict_of(report, "s").error().code, ErrorCode::io_error);
  }
  const auto store = place.open();
  for (const PackRow& row : packs_of(*store)) EXPECT_EQ(row.retired, Retired::no);
  EXPECT_TRUE(verify(*store).clean());
}

TEST(Verify, GoesOnWhereItWasAndTakesTheOldestFirst) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(80 * kMiB);
  image.fill_random(0, 80 * kMiB, 1);
  (void)value_of(take_backup(*store, image, "vm", test_time()));
  const std::size_t packs = files_in(place.path() / "packs").size();
  ASSERT_GE(packs, 5U);
  std::uint64_t read = 0;
  for (std::size_t i = 0; i < packs; ++i) {
    VerifyOptions slice;
    slice.structure = false;
    slice.at_most = 1;  // one pack
    slice.not_since = UtcTime::min();
    const VerifyReport report = value_of(verify_store(*store, slice));
    EXPECT_EQ(report.packs_read, 1U);
    read += report.packs_read;
    EXPECT_EQ(value_of(verify_age(*store)).never_packs, packs - i - 1);
  }
  VerifyOptions slice;
  slice.at_most = 1;
  slice.structure = false;
  slice.not_since = UtcTime::min();
  EXPECT_EQ(value_of(verify_store(*store, slice)).packs_read, 0U);  // nothing is due
}

TEST(Verify, AStopEndsItAndKeepsWhatWasDone) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(80 * kMiB);
  image.fill_random(0, 80 * kMiB, 1);
  (void)value_of(take_backup(*store, image, "vm", test_time()));
  std::stop_source stop;
  VerifyOptions options;
  options.data_percent = 100;
  options.threads = 1;
  options.stop = stop.get_token();
  options.progress = [&](std::uint64_t, std::uint64_t) { stop.request_stop(); };
  const auto report = verify_store(*store, options);
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code, ErrorCode::cancelled);
  const VerifyAge age = value_of(verify_age(*store));
  EXPECT_LT(age.never_packs, age.packs);
  EXPECT_GT(age.never_packs, 0U);
}

TEST(Verify, ReportsWithoutRecordingWhileSomebodyElseWrites) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(kMiB);
  image.fill_random(0, kMiB, 1);
  const RecoveryPoint point = value_of(take_backup(*store, image, "vm", test_time()));
  flip_byte(pack_of_chunk(*store, point, 1), record_of_chunk(*store, point, 1).place.offset);
  const auto other = place.open();
  {
    const auto lock = value_of(begin_writing(*other, "somebody else"));
    const VerifyReport report = verify(*store);
    EXPECT_THAT(report.damage.points, SizeIs(1));
    EXPECT_FALSE(report.recorded);
    EXPECT_THAT(report.not_recorded, HasSubstr("somebody else"));
  }
  EXPECT_TRUE(value_of(load_damage(*store)).none());
  EXPECT_TRUE(verify(*store).recorded);
  EXPECT_FALSE(value_of(load_damage(*store)).none());
}

TEST(Verify, ADamagedChunkIsStoredAnewAndOlderPointsHeal) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(10 * kMiB);
  image.fill_random(0, 10 * kMiB, 1);
  const RecoveryPoint point = value_of(take_backup(*store, image, "vm", test_time()));
  const std::string epoch = value_of(value_of(begin_writing(*store, "test"))->epoch());
  flip_byte(pack_of_chunk(*store, point, 5), record_of_chunk(*store, point, 5).place.offset + 9);
  ASSERT_FALSE(verify(*store).clean());
  EXPECT_NE(value_of(value_of(begin_writing(*store, "test"))->epoch()), epoch);  // tracked backups read all once
  EXPECT_FALSE(value_of(refresh_damage(*store)));
  (void)value_of(take_backup(*store, image, "vm", test_time(60)));
  EXPECT_TRUE(value_of(refresh_damage(*store)));
  EXPECT_THAT(value_of(load_damage(*store)).points, IsEmpty());
  EXPECT_THAT(value_of(load_damage(*store)).lost, IsEmpty());
  EXPECT_THAT(readable_ranges_missing(*store, point, image), IsEmpty());
  EXPECT_THAT(verify(*store).damage.points, IsEmpty());
}

TEST(Verify, ALostIndexIsSaidAndPacksAreCheckedAllTheSame) {
  const TemporaryStore place;
  MemoryImage image(kMiB);
  image.fill_random(0, kMiB, 1);
  (void)value_of(take_backup(*place.open(), image, "vm", test_time()));
  std::filesystem::remove_all(place.path() / "index");
  const auto store = place.open();
  const VerifyReport report = verify(*store);
  EXPECT_TRUE(report.index.has_value());
  EXPECT_FALSE(report.clean());
  EXPECT_EQ(report.packs_read, files_in(place.path() / "packs").size());
  EXPECT_TRUE(report.damage.none());
  EXPECT_EQ(report.disks, 1U);
  EXPECT_TRUE(verdict_of(report, "store")) << "nothing is damaged";
}

TEST(Verify, StoreJsonIsCheckedWithItsCopy) {
  const TemporaryStore place;
  const auto store = place.open();
  flip_byte(place.path() / "store.json.copy", 30);
  EXPECT_THAT(verify(*store, 0).damage.documents, SizeIs(1));
  // Its recording was a writer, and writers renew the copy.
  EXPECT_TRUE(verify(*store, 0).clean());
}

TEST(StoreDocument, TheCopyOpensTheStoreWhenStoreJsonIsDamagedAnywhere) {
  const TemporaryStore place;
  const auto file = place.path() / "store.json";
  const std::uint64_t size = std::filesystem::file_size(file);
  for (std::uint64_t at = 0; at < size; ++at) {
    SCOPED_TRACE(at);
    flip_byte(file, at);
    EXPECT_TRUE(Store::open(place.path(), TemporaryStore::key()).has_value());
    flip_byte(file, at);
  }
  std::filesystem::remove(file);
  EXPECT_TRUE(Store::open(place.path(), TemporaryStore::key()).has_value());
}

TEST(StoreDocument, AKeyThatWasRemovedOpensNeitherThroughAnOldCopy) {
  const TemporaryStore place;
  const auto store = place.open();
  NewKeySlot second;
  second.label = "second";
  second.secret = SecretBytes::copy_of(std::array<std::uint8_t, 32>{9, 9});
  const UnlockKey key{KeySlotType::key_file, SecretBytes::copy_of(std::array<std::uint8_t, 32>{9, 9}), "second"};
  expect_ok(store->keys().add_slot(second));
  const auto old_copy = place.path() / "old";
  std::filesystem::copy_file(place.path() / "store.json.copy", old_copy);
  ASSERT_TRUE(Store::open(place.path(), key).has_value());
  expect_ok(store->keys().remove_slot("second"));
  EXPECT_FALSE(Store::open(place.path(), key).has_value());
  // Also when the copy is one that was forgotten: an authentic store.json without the slot says no.
  std::filesystem::rename(old_copy, place.path() / "store.json.copy");
  EXPECT_EQ(Store::open(place.path(), key).error().code, ErrorCode::wrong_key);
  // And the next writer puts the copy right.
  (void)value_of(begin_writing(*store, "test"));
  std::filesystem::remove(place.path() / "store.json");
  EXPECT_FALSE(Store::open(place.path(), key).has_value());
  EXPECT_TRUE(Store::open(place.path(), TemporaryStore::key()).has_value());
}

}  // namespace
}  // namespace cairn
