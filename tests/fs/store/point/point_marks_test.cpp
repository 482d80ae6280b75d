// SPDX-License-Identifier: GPL-3.0-or-later
// Points that are deleted, brought back, protected and removed for good; and what a crash between two steps leaves.
#include "fs/store/point/point_marks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "config/base/log.h"
#include "fs/io/local_backend.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"
#include "tests/fs/store/point/point_marks_fixture.h"
#include "tests/support/memory_backend.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(PointMarks, ADeletedPointIsHiddenAndComesBack) {
  const auto store = place_.open();
  commit_days(*store, 3);
  expect_ok(remove(*store, vm(1)));
  EXPECT_THAT(value_of(store->points().list()), ElementsAre(vm(0), vm(2)));
  EXPECT_THAT(value_of(store->points().list_stored()), SizeIs(3));
  EXPECT_THAT(value_of(store->points().list_deleted()), ElementsAre(vm(1)));
  const Deletion found = value_of(store->points().deletion_of(vm(1)));
  EXPECT_EQ(found.purge_after, kNow + days(14));
  EXPECT_EQ(found.because, "by hand");
  EXPECT_TRUE(store->points().load(vm(1))) << "hidden, but it can be read";
  const auto lookup = store->points().find(vm(1).text());
  ASSERT_FALSE(lookup);
  EXPECT_EQ(lookup.error().code, ErrorCode::point_deleted);
  EXPECT_THAT(lookup.error().message(), HasSubstr(iso_time(kNow + days(14))));
  EXPECT_EQ(value_of(store->points().find_deleted("vm@latest")), vm(1));

  const auto writer = value_of(begin_writing(*store, "test"));
  expect_ok(undelete_point(*writer, vm(1)));
  EXPECT_THAT(value_of(store->points().list()), SizeIs(3));
  EXPECT_EQ(undelete_point(*writer, vm(1)).error().code, ErrorCode::point_not_deleted);
  EXPECT_EQ(store->points().deletion_of(vm(1)).error().code, ErrorCode::point_not_deleted);
  EXPECT_EQ(store->points().find_deleted(vm(1).text()).error().code, ErrorCode::point_not_deleted);
  EXPECT_EQ(remove(*store, vm(9)).error().code, ErrorCode::point_missing);
}

TEST_F(PointMarks, DeletingAgainDoesNotPutOffTheEnd) {
  const auto store = place_.open();
  commit_days(*store, 2);
  expect_ok(remove(*store, vm(0)));
  Deletion later = deletion(vm(0));
  later.purge_after += days(30);
  expect_ok(delete_point(*value_of(begin_writing(*store, "test")), later, kNow));
  EXPECT_EQ(value_of(store->points().deletion_of(vm(0))).purge_after, kNow + days(14));
}

TEST_F(PointMarks, AnUndeleteWinsOverAPurgeThatWasPlannedBeforeIt) {
  const auto store = place_.open();
  commit_days(*store, 2);
  const auto writer = value_of(begin_writing(*store, "test"));
  const UtcTime over = kNow + days(14);
  expect_ok(delete_point(*writer, deletion(vm(0)), kNow));
  EXPECT_EQ(purge_deleted_point(*writer, vm(0), over - seconds(1), over).error().code, ErrorCode::point_not_deleted);
  expect_ok(undelete_point(*writer, vm(0)));
  const auto refused = purge_deleted_point(*writer, vm(0), over, over);
  EXPECT_EQ(refused.error().code, ErrorCode::point_not_deleted);
  EXPECT_EQ(refused.error().because, "somebody brought it back");
  EXPECT_THAT(value_of(store->points().list()), ElementsAre(vm(0), vm(1)));
  EXPECT_THAT(value_of(store->points().tombstones()), SizeIs(0));
  expect_ok(delete_point(*writer, deletion(vm(0)), kNow));
  expect_ok(purge_deleted_point(*writer, vm(0), over, over));
  EXPECT_THAT(value_of(store->points().list_stored()), ElementsAre(vm(1)));
  EXPECT_EQ(purge_deleted_point(*writer, vm(7), over, over).error().code, ErrorCode::point_missing);
}

TEST_F(PointMarks, TheTokenChangesWithEveryMark) {
  const auto backend = std::make_shared<LocalBackend>(place_.path());
  const auto memory = std::make_shared<MemoryBackend>();
  ASSERT_TRUE(memory->put("store.json", value_of(backend->get("store.json", 1 << 20)), IfExists::fail));
  const auto store = value_of(Store::open(place_.path(), memory, TemporaryStore::key()));
  commit_days(*store, 2);
  const auto before = value_of(store->points().change_token());
  expect_ok(remove(*store, vm(0)));
  const auto deleted = value_of(store->points().change_token());
  EXPECT_NE(before, deleted);
  expect_ok(undelete_point(*value_of(begin_writing(*store, "test")), vm(0)));
  EXPECT_NE(value_of(store->points().change_token()), deleted);
}

TEST_F(PointMarks, AnImmutablePointStaysUntilTheTrustedTime) {
  const auto store = place_.open();
  commit(*store, vm(0), kNow + days(1));
  commit(*store, vm(1), kNow);
  const auto writer = value_of(begin_writing(*store, "test"));
  for (const auto& refused :
       {delete_point(*writer, deletion(vm(0)), kNow), purge_point(*writer, vm(0), "x", kNow, kNow)}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::point_immutable);
    EXPECT_THAT(refused.error().message(), HasSubstr(iso_time(kNow + days(1))));
  }
  // The clock may say what it likes: the trusted time counts.
  EXPECT_EQ(purge_point(*writer, vm(0), "x", kNow + days(9), kNow).error().code, ErrorCode::point_immutable);
  expect_ok(delete_point(*writer, deletion(vm(1)), kNow));
  expect_ok(purge_point(*writer, vm(0), "x", kNow + days(1), kNow + days(1)));
  EXPECT_EQ(value_of(store->points().load(vm(1))).immutable_until, kNow);
}

TEST_F(PointMarks, AProtectedPointStaysUntilItsEnd) {
  const auto store = place_.open();
  commit_days(*store, 3);
  const auto writer = value_of(begin_writing(*store, "test"));
  expect_ok(protect_point(*writer, {vm(0), kNow, std::nullopt}));
  expect_ok(protect_point(*writer, {vm(1), kNow, kNow + days(1)}));
  EXPECT_EQ(remove(*store, vm(0)).error().code, ErrorCode::point_protected);
  EXPECT_EQ(purge(*store, vm(1)).error().code, ErrorCode::point_protected);
  EXPECT_THAT(value_of(store->points().list_protected()), ElementsAre(vm(0), vm(1)));
  EXPECT_EQ(value_of(store->points().protection_of(vm(1)))->until, kNow + days(1));
  EXPECT_FALSE(value_of(store->points().protection_of(vm(2))));
  expect_ok(delete_point(*writer, deletion(vm(1)), kNow + days(1)));  // it is over by then
  expect_ok(unprotect_point(*writer, vm(0)));
  expect_ok(unprotect_point(*writer, vm(0)));
  EXPECT_EQ(value_of(store->points().protection_of(vm(0)))->until, kProtectionEnded) << "that it was stays known";
  expect_ok(remove(*store, vm(0)));
  EXPECT_EQ(protect_point(*writer, {vm(0), kNow, {}}).error().code, ErrorCode::point_deleted);
  EXPECT_EQ(protect_point(*writer, {vm(9), kNow, {}}).error().code, ErrorCode::point_missing);
}

TEST_F(PointMarks, APurgedPointIsExplained) {
  const auto store = place_.open();
  commit_days(*store, 3);
  const std::string hash = value_of(store->points().hash_of(vm(1)));
  expect_ok(purge(*store, vm(1)));
  EXPECT_THAT(value_of(store->points().list_stored()), ElementsAre(vm(0), vm(2)));
  const auto tombstones = value_of(store->points().tombstones());
  ASSERT_THAT(tombstones, SizeIs(1));
  EXPECT_EQ(tombstones[0].point, vm(1));
  EXPECT_EQ(tombstones[0].hash, hash);
  EXPECT_EQ(tombstones[0].previous_name, vm(0).text());
  EXPECT_EQ(tombstones[0].previous, value_of(store->points().hash_of(vm(0))));
  EXPECT_EQ(tombstones[0].because, "test");
  EXPECT_EQ(gap_in(*store), "");
  expect_ok(purge(*store, vm(1)));  // done already
  EXPECT_EQ(purge(*store, vm(7)).error().code, ErrorCode::point_missing);
}

TEST_F(PointMarks, TombstonesStayFewWhateverTheOrder) {
  for (const auto& order : std::vector<std::vector<int>>{{1, 2, 3, 4}, {4, 3, 2, 1}, {2, 4, 1, 3}, {3, 0, 4, 2, 1}}) {
    const TemporaryStore place;
    const auto store = place.open();
    commit_days(*store, 6);
    for (const int day : order) {
      expect_ok(purge(*store, vm(day)));
      EXPECT_EQ(gap_in(*store), "") << day;
    }
    EXPECT_THAT(value_of(store->points().tombstones()), SizeIs(1)) << "one explains the gap below a point";
    expect_ok(purge(*store, vm(5)));
    EXPECT_EQ(gap_in(*store), "");
    EXPECT_THAT(value_of(store->points().tombstones()), IsEmpty()) << "nothing needs an explanation any more";
  }
}

TEST_F(PointMarks, ATombstoneThatTwoPointsNeedStays) {
  const auto store = place_.open();
  commit(*store, vm(0));
  commit(*store, vm(5));  // names day 0
  commit(*store, vm(3));  // the clock went back: it names day 0, too
  expect_ok(purge(*store, vm(0)));
  expect_ok(purge(*store, vm(3)));
  EXPECT_EQ(gap_in(*store), "");
  expect_ok(purge(*store, vm(5)));
  EXPECT_THAT(value_of(store->points().tombstones()), IsEmpty());
}

TEST_F(PointMarks, TheNextBackupNamesAHiddenPredecessorAndIsExplainedWhenItGoes) {
  const auto store = place_.open();
  commit_days(*store, 2);
  expect_ok(remove(*store, vm(1)));
  commit(*store, vm(2));
  EXPECT_EQ(value_of(store->points().load(vm(2))).previous_name, vm(1).text());
  expect_ok(purge(*store, vm(1)));
  EXPECT_EQ(gap_in(*store), "");
  EXPECT_THAT(value_of(store->points().list_deleted()), IsEmpty());
}

TEST_F(PointMarks, APointThatIsHeldIsNotRemoved) {
  const auto store = place_.open();
  commit_days(*store, 2);
  {
    const auto hold = value_of(store->points().hold(vm(0)));
    EXPECT_EQ(purge(*store, vm(0)).error().code, ErrorCode::point_in_use);
    EXPECT_THAT(value_of(store->points().list()), SizeIs(2));
    EXPECT_THAT(value_of(store->points().tombstones()), IsEmpty());
    EXPECT_FALSE(std::filesystem::exists(place_.path() / "purged" / vm(0).text()));
  }
  expect_ok(purge(*store, vm(0)));
}

TEST_F(PointMarks, ADamagedPointCanGoAndItsAbsenceIsExplained) {
  const auto store = place_.open();
  commit_days(*store, 3);
  {
    std::ofstream file(place_.path() / "points" / vm(1).text(), std::ios::binary | std::ios::app);
    file << "x";
  }
  expect_ok(remove(*store, vm(1)));
  expect_ok(purge(*store, vm(1)));
  const auto tombstones = value_of(store->points().tombstones());
  ASSERT_THAT(tombstones, SizeIs(1));
  EXPECT_EQ(tombstones[0].hash, "") << "the damaged file's hash is not what its successor names";
  EXPECT_EQ(tombstones[0].previous_name, vm(0).text());
}

TEST_F(PointMarks, AMarkThatIsDamagedIsNamedAndHidesNothingElse) {
  const auto store = place_.open();
  commit_days(*store, 3);
  expect_ok(remove(*store, vm(1)));
  std::ofstream(place_.path() / "deleted" / vm(1).text()) << "rubbish";
  EXPECT_THAT(value_of(store->points().list()), ElementsAre(vm(0), vm(2)));
  EXPECT_EQ(store->points().deletion_of(vm(1)).error().code, ErrorCode::store_damaged);
  EXPECT_EQ(store->points().find(vm(1).text()).error().code, ErrorCode::point_deleted);
  expect_ok(undelete_point(*value_of(begin_writing(*store, "test")), vm(1)));
  EXPECT_THAT(value_of(store->points().list()), SizeIs(3));
}

TEST_F(PointMarks, AMarkOfOnePointIsNoneOfAnother) {
  const auto store = place_.open();
  commit_days(*store, 3);
  expect_ok(remove(*store, vm(1)));
  std::filesystem::copy(place_.path() / "deleted" / vm(1).text(), place_.path() / "deleted" / vm(0).text());
  EXPECT_EQ(store->points().deletion_of(vm(0)).error().code, ErrorCode::store_damaged);
}

TEST_F(PointMarks, ANewPointUnderTheNameOfADeletedOneIsThere) {
  const auto store = place_.open();
  commit_days(*store, 2);
  expect_ok(remove(*store, vm(1)));
  std::filesystem::remove(place_.path() / "points" / vm(1).text());  // by something else than Cairn
  EXPECT_THAT(value_of(store->points().list_deleted()), IsEmpty());
  commit(*store, vm(1));
  EXPECT_THAT(value_of(store->points().list()), ElementsAre(vm(0), vm(1)));
}

TEST_F(PointMarks, AFullDiskDoesNotKeepADeletedPointFromGoing) {
  {
    const auto store = place_.open();
    commit_days(*store, 3);
    expect_ok(remove(*store, vm(1)));
  }
  const auto full = std::make_shared<FullBackend>(std::make_shared<LocalBackend>(place_.path()));
  const auto store = value_of(Store::open(place_.path(), full, TemporaryStore::key()));
  full->room_by_removing = 0;  // nothing comes free even by removing
  expect_ok(purge(*store, vm(1)));
  EXPECT_THAT(value_of(store->points().list_stored()), ElementsAre(vm(0), vm(2)));
  EXPECT_EQ(gap_in(*store), "") << "the deletion explains it meanwhile";
  EXPECT_TRUE(std::filesystem::exists(place_.path() / "deleted" / vm(1).text()));
  // There is room again.
  full->room = 100;
  expect_ok(settle_marks(*value_of(begin_writing(*store, "test"))));
  EXPECT_FALSE(std::filesystem::exists(place_.path() / "deleted" / vm(1).text()));
  EXPECT_EQ(gap_in(*store), "");
  // One that is not deleted has no such witness: it stays.
  full->room = 0;
  EXPECT_EQ(purge(*store, vm(0)).error().code, ErrorCode::no_space);
  EXPECT_THAT(value_of(store->points().list()), ElementsAre(vm(0), vm(2)));
}

TEST_F(PointMarks, OnAFullDiskWhatIsKeptStaysKeptAndAProtectionCanStillEnd) {
  {
    const auto store = place_.open();
    commit(*store, vm(0), kNow + days(1));
    commit(*store, vm(1));
    commit(*store, vm(2));
    const auto writer = value_of(begin_writing(*store, "test"));
    expect_ok(protect_point(*writer, {vm(1), kNow, std::nullopt}));
  }
  const auto full = std::make_shared<FullBackend>(std::make_shared<LocalBackend>(place_.path()));
  const auto store = value_of(Store::open(place_.path(), full, TemporaryStore::key()));
  full->room_by_removing = 0;
  EXPECT_EQ(purge(*store, vm(0)).error().code, ErrorCode::point_immutable);
  EXPECT_EQ(remove(*store, vm(0)).error().code, ErrorCode::point_immutable);
  EXPECT_EQ(purge(*store, vm(1)).error().code, ErrorCode::point_protected);
  const auto writer = value_of(begin_writing(*store, "test"));
  EXPECT_EQ(protect_point(*writer, {vm(2), kNow, std::nullopt}).error().code, ErrorCode::no_space);
  EXPECT_FALSE(value_of(store->points().protection_of(vm(2)))) << "it is not said to be protected";
  expect_ok(unprotect_point(*writer, vm(1)));
  EXPECT_FALSE(value_of(store->points().protection_of(vm(1))));
  EXPECT_EQ(purge(*store, vm(1)).error().code, ErrorCode::no_space) << "its protection keeps it no more";
  EXPECT_THAT(value_of(store->points().list()), ElementsAre(vm(0), vm(1), vm(2)));
}

TEST_F(PointMarks, RemovingFirstGivesTheTombstoneItsRoom) {
  {
    const auto store = place_.open();
    commit_days(*store, 3);
    expect_ok(remove(*store, vm(1)));
  }
  const auto full = std::make_shared<FullBackend>(std::make_shared<LocalBackend>(place_.path()));
  full->room_by_removing = 1;
  const auto store = value_of(Store::open(place_.path(), full, TemporaryStore::key()));
  expect_ok(purge(*store, vm(1)));
  EXPECT_TRUE(std::filesystem::exists(place_.path() / "purged" / vm(1).text()));
  EXPECT_FALSE(std::filesystem::exists(place_.path() / "deleted" / vm(1).text()));
  EXPECT_EQ(gap_in(*store), "");
}

// Each call of a whole life of points, with the power cut there.
class MarksCrash : public testing::TestWithParam<CutAt> {};

TEST_P(MarksCrash, EveryCutLeavesTheChainExplainedAndTheNextCallMendsIt) {
  std::string log;
  redirect_log(&log);
  bool finished = false;
  std::uint64_t cut = 0;
  for (; !finished; ++cut) {
    SCOPED_TRACE(cut);
    ASSERT_LT(cut, 2000U);
    class Scene : public PointMarks {
     public:
      void TestBody() override {}
      using PointMarks::commit_days, PointMarks::deletion, PointMarks::gap_in, PointMarks::purge, PointMarks::place_;
    } scene;
    {
      const auto store = scene.place_.open();
      Scene::commit_days(*store, 6);
    }
    const auto life = [](Store& store) -> Result<void> {
      CAIRN_TRY(const auto writer, begin_writing(store, "test"));
      CAIRN_CHECK(delete_point(*writer, Scene::deletion(vm(1)), kNow));
      CAIRN_CHECK(delete_point(*writer, Scene::deletion(vm(2)), kNow));
      CAIRN_CHECK(undelete_point(*writer, vm(2)));
      CAIRN_CHECK(protect_point(*writer, {vm(4), kNow, kNow + days(1)}));
      CAIRN_CHECK(purge_point(*writer, vm(1), "deleted", kNow, kNow));
      CAIRN_CHECK(purge_point(*writer, vm(2), "retention", kNow, kNow));
      CAIRN_CHECK(purge_point(*writer, vm(0), "retention", kNow, kNow));
      return purge_point(*writer, vm(4), "retention", kNow + days(2), kNow + days(2));
    };
    const auto backend =
        std::make_shared<FaultyBackend>(std::make_shared<LocalBackend>(scene.place_.path()), cut, GetParam());
    {
      const auto store = Store::open(scene.place_.path(), backend, TemporaryStore::key());
      finished = store && life(**store).has_value() && backend->calls() <= cut;
    }
    const auto store = scene.place_.open();
    EXPECT_EQ(Scene::gap_in(*store), "");
    for (const PointName& kept : {vm(3), vm(5)}) EXPECT_THAT(value_of(store->points().list()), testing::Contains(kept));
    // The same again comes to the same end.
    {
      const auto writer = value_of(begin_writing(*store, "test"));
      expect_ok(settle_marks(*writer));
      EXPECT_EQ(Scene::gap_in(*store), "");
      const auto stored = value_of(store->points().list_stored());
      for (const PointName& name : {vm(1), vm(2), vm(0), vm(4)})
        if (std::ranges::binary_search(stored, name))
          expect_ok(purge_point(*writer, name, "retention", kNow + days(2), kNow + days(2)));
      expect_ok(settle_marks(*writer));
    }
    EXPECT_EQ(Scene::gap_in(*store), "");
    EXPECT_THAT(value_of(store->points().list()), ElementsAre(vm(3), vm(5)));
    EXPECT_THAT(value_of(store->points().tombstones()), SizeIs(2)) << "below 3, and between 3 and 5";
    for (const char* folder : {"deleted", "protected"}) {
      const auto path = scene.place_.path() / folder;
      EXPECT_TRUE(!std::filesystem::exists(path) || std::filesystem::is_empty(path)) << folder;
    }
    if (testing::Test::HasFailure()) break;
  }
  redirect_log(nullptr);
  EXPECT_GT(cut, 30U);
}

INSTANTIATE_TEST_SUITE_P(Cuts, MarksCrash, testing::Values(CutAt::before_effect, CutAt::after_effect));

}  // namespace
}  // namespace cairn
