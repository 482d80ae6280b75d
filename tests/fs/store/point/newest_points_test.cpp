// SPDX-License-Identifier: GPL-3.0-or-later
// The record of the newest points: what it tells when a point is gone, and when it cannot be read or written.
#include "fs/store/point/point_marks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/io/local_backend.h"
#include "fs/store/point/mark_files.h"
#include "fs/store/verify/verify_points.h"
#include "fs/store/write/store_writer.h"
#include "tests/fs/store/point/point_marks_fixture.h"
#include "tests/fs/store/stored_disk.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using std::chrono::days;
using std::chrono::hours;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(PointMarks, TheNewestPointIsRecordedAndItsPredecessorAgainWhenItGoes) {
  const auto store = place_.open();
  commit_days(*store, 3);
  const auto newest = [&]() -> std::string {
    const auto found = value_of(store->points().marks().newest("vm"));
    if (!found) return "none";
    std::string text;
    for (const NewestPoints::Entry& entry : found->points) {
      text += (text.empty() ? "" : " ") + entry.point;
      if (entry.hash != value_of(store->points().hash_of(*PointName::parse(entry.point)))) text += " with another hash";
    }
    return text;
  };
  EXPECT_EQ(newest(), vm(2).text());
  expect_ok(remove(*store, vm(2)));
  EXPECT_EQ(newest(), vm(2).text()) << "hidden, it is still there";
  expect_ok(purge(*store, vm(2)));
  EXPECT_EQ(newest(), vm(1).text());
  EXPECT_THAT(value_of(store->points().tombstones()), IsEmpty()) << "nobody needs it any more";
  expect_ok(purge(*store, vm(0)));
  EXPECT_EQ(newest(), vm(1).text());
  expect_ok(purge(*store, vm(1)));
  EXPECT_EQ(newest(), "") << "only the names that are gone are left";
  const NewestPoints left = *value_of(store->points().marks().newest("vm"));
  EXPECT_THAT(left.gone, SizeIs(3));
  EXPECT_EQ(left.changes, 7U) << "it still counts";
  EXPECT_EQ(left.purged_up_to, vm(2).text());
}

TEST_F(PointMarks, APointThatAClockPutBeforeAnotherIsRecordedBesideIt) {
  const auto store = place_.open();
  commit(*store, vm(1));
  commit(*store, vm(5));
  commit(*store, vm(3));
  std::filesystem::remove(place_.path() / "points" / vm(3).text());
  std::filesystem::remove(place_.path() / "points" / vm(5).text());
  const PointsFound found = value_of(look_at_points(*store, {}, false));
  ASSERT_THAT(found.gaps, SizeIs(2));
  EXPECT_EQ(found.gaps[0].missing, vm(5).text());
  EXPECT_EQ(found.gaps[1].missing, vm(3).text());
}

TEST_F(PointMarks, TheLossOfTheNewestPointShowsBeforeAndAfterTheNextBackup) {
  const auto store = place_.open();
  commit_days(*store, 3);
  const std::string hash = value_of(store->points().hash_of(vm(2)));
  std::filesystem::remove(place_.path() / "points" / vm(2).text());
  const auto gaps = [&] { return value_of(look_at_points(*store, {}, false)).gaps; };
  EXPECT_THAT(gaps(), ElementsAre(PointGap{"newest/vm", vm(2).text(), hash, kPointFileMissing}));
  commit(*store, vm(3));
  EXPECT_THAT(gaps(), ElementsAre(PointGap{vm(3).text(), vm(2).text(), hash, kPointFileMissing}));
  // Who accepted it while it was the newest does not hear of it again.
  Damage known;
  known.accepted_gaps = {{"newest/vm", vm(2).text(), hash, kPointFileMissing}};
  EXPECT_THAT(value_of(look_at_points(*store, known, false)).gaps, IsEmpty());
}

TEST_F(PointMarks, ARecordOfTheNewestPointThatIsDamagedIsNamedAndTheNextBackupMendsIt) {
  const auto store = place_.open();
  commit_days(*store, 2);
  flip_byte(place_.path() / "newest" / "vm", 70);
  EXPECT_THAT(value_of(look_at_points(*store, {}, false)).documents,
              ElementsAre(testing::AllOf(HasSubstr("newest/vm"), HasSubstr("in the order of their stamps"))));
  // Meanwhile no tombstone goes: it may be the one that is recorded.
  expect_ok(purge(*store, vm(1)));
  EXPECT_THAT(value_of(store->points().tombstones()), SizeIs(1));
  commit(*store, vm(2));
  EXPECT_THAT(value_of(look_at_points(*store, {}, false)).documents, IsEmpty());
  EXPECT_THAT(value_of(look_at_points(*store, {}, false)).gaps, IsEmpty());
}

TEST_F(PointMarks, ARecordThatCannotBeWrittenDoesNotFailTheBackup) {
  const auto full = std::make_shared<FullBackend>(std::make_shared<LocalBackend>(place_.path()));
  {
    const auto store = place_.open();
    commit_days(*store, 1);
  }
  const auto store = value_of(Store::open(place_.path(), full, TemporaryStore::key()));
  full->room = 1;
  commit(*store, vm(1));
  EXPECT_THAT(log_, HasSubstr("newest-points-not-recorded"));
  EXPECT_THAT(value_of(look_at_points(*store, {}, false)).gaps, IsEmpty()) << "it says what was true before";
  full->room = 2;
  commit(*store, vm(2));
  std::filesystem::remove(place_.path() / "points" / vm(2).text());
  EXPECT_THAT(value_of(look_at_points(*store, {}, false)).gaps, SizeIs(1));
}

}  // namespace
}  // namespace cairn
