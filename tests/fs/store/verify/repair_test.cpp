// SPDX-License-Identifier: GPL-3.0-or-later
// Repair: what is damaged is repaired from what is intact, and nothing is made worse.
#include "fs/store/verify/repair.h"
#include "fs/store/verify/rebuild_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/base/units.h"
#include "fs/store/write/store_writer.h"
#include "tests/fs/store/verify/damaged_store.h"

namespace cairn {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class RepairTest : public testing::Test {
 protected:
  RepairTest() : store_(place_.open()) {
    image_.fill_random(0, 20 * kMiB, 1);
    point_ = value_of(take_backup(*store_, image_, "vm", test_time()));
  }
  // A copy of the store as it is now.
  [[nodiscard]] std::filesystem::path copy_store() const {
    const auto copy = replica_.path() / "copy";
    std::filesystem::copy(place_.path(), copy, std::filesystem::copy_options::recursive);
    return copy;
  }
  void damage_chunk(std::uint64_t chunk) {
    flip_byte(pack_of_chunk(*store_, point_, chunk), record_of_chunk(*store_, point_, chunk).place.offset + 5);
  }
  RepairReport repair(std::optional<std::filesystem::path> replica = std::nullopt) {
    RepairOptions options;
    options.replica = std::move(replica);
    options.verify.data_percent = 100;
    return value_of(repair_store(*store_, options));
  }
  void expect_whole() {
    EXPECT_THAT(readable_ranges_missing(*store_, point_, image_), IsEmpty());
    VerifyOptions options;
    options.data_percent = 100;
    const VerifyReport report = value_of(verify_store(*store_, options));
    EXPECT_TRUE(report.clean()) << to_json(report).dump(2);
    EXPECT_THAT(files_in(place_.path() / "aside"), IsEmpty());  // emptied by the verify of everything
  }

  TemporaryStore place_;
  TemporaryDirectory replica_;
  std::unique_ptr<Store> store_;
  MemoryImage image_{20 * kMiB};
  RecoveryPoint point_;
};

TEST_F(RepairTest, AWholeStoreIsLeftAlone) {
  const auto before = files_in(place_.path() / "packs");
  const RepairReport report = repair();
  EXPECT_TRUE(report.after.clean());
  EXPECT_EQ(files_in(place_.path() / "packs"), before);
}

TEST_F(RepairTest, TheVeryFileComesBackFromTheReplica) {
  const auto replica = copy_store();
  const auto pack = pack_of_chunk(*store_, point_, 7);
  damage_chunk(7);
  const RepairReport report = repair(replica);
  EXPECT_THAT(report.packs_copied, SizeIs(1));
  EXPECT_TRUE(report.after.clean()) << to_json(report).dump(2);
  EXPECT_EQ(files_in(place_.path() / "aside"), std::vector{place_.path() / "aside" / pack.filename()});
  expect_ok(verdict_of(report, "s"));
  expect_whole();
}

TEST_F(RepairTest, AMissingPackComesBackFromTheReplica) {
  const auto replica = copy_store();
  std::filesystem::remove(pack_of_chunk(*store_, point_, 7));
  EXPECT_TRUE(repair(replica).after.clean());
  expect_whole();
}

TEST_F(RepairTest, AMissingPackThatAWriterHasForgottenComesBackAsRecords) {
  const auto replica = copy_store();
  std::filesystem::remove(pack_of_chunk(*store_, point_, 7));
  store_ = place_.open();
  (void)value_of(begin_writing(*store_, "test"));
  const RepairReport report = repair(replica);
  EXPECT_GT(report.found_records, 0U);
  expect_whole();
}

TEST_F(RepairTest, RecordsComeFromOtherPacksOfTheReplica) {
  // The replica holds the same chunks in packs of its own: another order of work, other salts.
  const auto replica = copy_store();
  for (const auto& file : files_in(replica / "packs")) std::filesystem::remove(file);
  std::filesystem::remove_all(replica / "index");
  {
    const auto other = value_of(Store::open(replica, TemporaryStore::key()));
    (void)value_of(rebuild_index(*other));
    (void)value_of(take_backup(*other, image_, "other", test_time(60)));
  }
  damage_chunk(7);
  damage_chunk(8);
  const RepairReport report = repair(replica);
  EXPECT_THAT(report.packs_copied, IsEmpty());
  EXPECT_THAT(report.packs_cleared, SizeIs(1));
  EXPECT_EQ(report.found_records, 2U);
  EXPECT_GT(report.saved_records, 0U);
  expect_whole();
}

TEST_F(RepairTest, WithoutACopyWhatIsGoodIsSavedAndTheRestStaysKnown) {
  const std::string epoch = value_of(value_of(begin_writing(*store_, "test"))->epoch());
  damage_chunk(7);
  const RepairReport report = repair();
  EXPECT_THAT(report.packs_cleared, SizeIs(1));
  EXPECT_EQ(verdict_of(report, "s").error().code, ErrorCode::not_repaired);
  ASSERT_THAT(report.after.damage.points, SizeIs(1));
  const std::vector<ByteRange> lost{{7 * 64 * kKiB, 64 * kKiB}};
  EXPECT_EQ(report.after.damage.points[0].disks[0].ranges, lost);
  EXPECT_EQ(readable_ranges_missing(*store_, point_, image_), lost);
  EXPECT_THAT(report.after.damage.packs, IsEmpty());
  EXPECT_THAT(files_in(place_.path() / "aside"), SizeIs(1));
  EXPECT_NE(value_of(value_of(begin_writing(*store_, "test"))->epoch()), epoch);
  // The next backup meets the chunk in the image: the older point is whole again.
  (void)value_of(take_backup(*store_, image_, "vm", test_time(60)));
  EXPECT_TRUE(value_of(refresh_damage(*store_)));
  EXPECT_TRUE(value_of(load_damage(*store_)).none());
  expect_whole();
}

TEST_F(RepairTest, DamageToHeaderTrailerOrFooterLosesNoRecord) {
  const std::vector<std::filesystem::path> packs = files_in(place_.path() / "packs");
  std::uint64_t at_end = 5;
  for (const auto& pack : packs) {
    const std::uint64_t size = std::filesystem::file_size(pack);
    flip_byte(pack, 3);              // magic
    flip_byte(pack, 12);             // algorithm
    flip_byte(pack, size - at_end);  // trailer
    at_end = 25 - at_end;            // in every other pack the footer's place
  }
  const RepairReport report = repair();
  EXPECT_TRUE(report.after.clean()) << to_json(report).dump(2);
  expect_whole();
}

TEST_F(RepairTest, ALostFooterLosesNoRecordThatAPointNeeds) {
  for (const auto& pack : files_in(place_.path() / "packs")) flip_byte(pack, std::filesystem::file_size(pack) - 40);
  const RepairReport report = repair();
  EXPECT_TRUE(report.after.clean()) << to_json(report).dump(2);
  expect_whole();
}

TEST_F(RepairTest, PointsComeBackFromTheReplica) {
  image_.fill_random(0, 10, 9);
  (void)value_of(take_backup(*store_, image_, "vm", test_time(60)));
  image_.fill_random(0, 10, 10);
  point_ = value_of(take_backup(*store_, image_, "vm", test_time(120)));
  const auto replica = copy_store();
  const auto points = files_in(place_.path() / "points");
  std::filesystem::remove(points[0]);
  flip_byte(points[1], 80);
  const RepairReport report = repair(replica);
  EXPECT_THAT(report.points_copied, SizeIs(2));
  EXPECT_TRUE(report.after.clean()) << to_json(report).dump(2);
  EXPECT_EQ(files_in(place_.path() / "points"), points);
  expect_whole();
}

TEST_F(RepairTest, TheNewestPointComesBackFromTheReplicaToo) {
  const auto replica = copy_store();
  const auto points = files_in(place_.path() / "points");
  std::filesystem::remove(points.back());
  const RepairReport report = repair(replica);
  EXPECT_THAT(report.before.damage.gaps, SizeIs(1));
  EXPECT_THAT(report.points_copied, SizeIs(1));
  EXPECT_TRUE(report.after.clean()) << to_json(report).dump(2);
  EXPECT_EQ(files_in(place_.path() / "points"), points);
}

TEST_F(RepairTest, ADamagedRecordOfTheNewestPointIsMadeAnew) {
  flip_byte(place_.path() / "newest" / "vm", 70);
  const RepairReport report = repair();
  EXPECT_THAT(report.newest_repaired, ElementsAre("vm"));
  EXPECT_TRUE(report.after.clean()) << to_json(report).dump(2);
  std::filesystem::remove(files_in(place_.path() / "points").back());
  EXPECT_THAT(value_of(verify_store(*store_, {})).damage.gaps, SizeIs(1)) << "it says again what is to be there";
}

TEST_F(RepairTest, ALostIndexIsBuiltAnewAndDamagedPacksStayOut) {
  damage_chunk(7);
  VerifyOptions options;
  options.data_percent = 100;
  (void)value_of(verify_store(*store_, options));
  store_.reset();
  std::filesystem::remove_all(place_.path() / "index");
  store_ = place_.open();
  const RepairReport report = repair();
  EXPECT_TRUE(report.index_rebuilt);
  EXPECT_FALSE(report.after.index.has_value());
  ASSERT_THAT(report.after.damage.points, SizeIs(1));
  (void)value_of(take_backup(*store_, image_, "vm", test_time(60)));
  (void)value_of(refresh_damage(*store_));
  expect_whole();
}

TEST_F(RepairTest, StoreJsonIsWrittenFromItsCopy) {
  const Buffer before = value_of(LocalBackend(place_.path()).get("store.json", kMiB));
  flip_byte(place_.path() / "store.json", 40);
  store_ = place_.open();
  EXPECT_TRUE(repair().document_repaired);
  EXPECT_EQ(value_of(LocalBackend(place_.path()).get("store.json", kMiB)), before);
  expect_whole();
}

TEST_F(RepairTest, WhatCannotBeReadForTheMomentIsLeftAsItIs) {
  auto failing = std::make_shared<FailingReads>(place_.path(), ErrorCode::io_error);
  store_ = value_of(Store::open(place_.path(), failing, TemporaryStore::key()));
  const auto before = files_in(place_.path() / "packs");
  failing->start();
  const RepairReport report = repair();
  EXPECT_TRUE(report.after.damage.none()) << to_json(report).dump(2);
  EXPECT_EQ(files_in(place_.path() / "packs"), before);
  failing->stop();
  expect_whole();
}

TEST_F(RepairTest, ANewIndexReadsWhatIsGoodAndNotWhatIsKnownAsDamaged) {
  // Which of the two packs is listed first depends on their names, which are random: one of ten stores shows it.
  for (int store = 0; store < 10; ++store) {
    const TemporaryStore place;
    auto opened = place.open();
    MemoryImage image(2 * kMiB);
    image.fill_random(0, 2 * kMiB, 1);
    const RecoveryPoint point = value_of(take_backup(*opened, image, "vm", test_time()));
    flip_byte(pack_of_chunk(*opened, point, 7), record_of_chunk(*opened, point, 7).place.offset + 5);
    VerifyOptions options;
    options.data_percent = 100;
    ASSERT_FALSE(value_of(verify_store(*opened, options)).clean());
    (void)value_of(take_backup(*opened, image, "vm", test_time(60)));  // stores it anew
    (void)value_of(rebuild_index(*opened));
    EXPECT_THAT(readable_ranges_missing(*opened, point, image), IsEmpty());
  }
}

TEST_F(RepairTest, RefusesAReplicaOfAnotherStore) {
  const TemporaryStore other;
  RepairOptions options;
  options.replica = other.path();
  EXPECT_EQ(repair_store(*store_, options).error().code, ErrorCode::replica_differs);
  options.replica = other.path() / "nothing";
  EXPECT_EQ(repair_store(*store_, options).error().code, ErrorCode::target_missing);
}

}  // namespace
}  // namespace cairn
