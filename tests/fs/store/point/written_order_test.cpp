// SPDX-License-Identifier: GPL-3.0-or-later
// The order in which points were written, under clocks that ran ahead and were set back; and names that are not given
// again.
#include "fs/store/point/written_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fs/store/point/point_marks_fixture.h"

namespace cairn {
namespace {

using std::chrono::days;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

UtcTime at(int day) {
  return test_time() + days(day);
}

// Writes points dated `written`, one after the other, and puts them into the order that is known then.
std::vector<int> order_of(const std::vector<int>& written) {
  WrittenOrder order;
  std::vector<UtcTime> stored;
  for (const int day : written) {
    order.note(at(day), stored);
    stored.push_back(at(day));
  }
  std::vector<int> sorted = written;
  std::ranges::sort(sorted, [&](int a, int b) { return order.before(at(a), at(b)); });
  return sorted;
}

TEST(WrittenOrder, IsThatOfWritingWhateverTheClockSaid) {
  std::vector<int> written{1, 2, 3, 4, 5, 6};
  do {
    SCOPED_TRACE(testing::PrintToString(written));
    EXPECT_EQ(order_of(written), written);
  } while (std::ranges::next_permutation(written).found);
}

TEST(WrittenOrder, AnOvertakenPointWasWrittenBeforeTheOneThatOvertookIt) {
  WrittenOrder order;
  order.note(at(500), std::vector{at(1)});
  EXPECT_THAT(order.overtaken(), IsEmpty());
  EXPECT_EQ(order.written_by(at(500)), at(500)) << "nothing was written after it yet";
  order.note(at(2), std::vector{at(1), at(500)});
  EXPECT_EQ(order.written_by(at(500)), at(2));
  EXPECT_EQ(order.written_by(at(1)), at(1));
  // When its date has come, new points are still newer.
  order.note(at(501), std::vector{at(1), at(500), at(2)});
  EXPECT_TRUE(order.before(at(500), at(2)));
  EXPECT_TRUE(order.before(at(2), at(501)));
  order.note(at(502), std::vector{at(1), at(2), at(501)});
  EXPECT_THAT(order.overtaken(), IsEmpty()) << "it is not stored any more";
}

TEST_F(PointMarks, LatestIsTheLastOneWritten) {
  const auto store = place_.open();
  commit(*store, vm(1));
  commit(*store, vm(500));
  EXPECT_EQ(value_of(store->points().find("vm@latest")), vm(500));
  commit(*store, vm(2));
  commit(*store, vm(3));
  EXPECT_EQ(value_of(store->points().find("vm@latest")), vm(3));
  EXPECT_EQ(value_of(store->points().latest("vm")), vm(3));
  EXPECT_THAT(value_of(store->points().latest_of(value_of(store->points().list()))), ElementsAre(vm(3)));
  EXPECT_THAT(value_of(store->points().list_written("vm")), ElementsAre(vm(1), vm(500), vm(2), vm(3)));
  // The one before it, not the one of the wrong clock, comes next.
  expect_ok(remove(*store, vm(3)));
  EXPECT_EQ(value_of(store->points().find("vm@latest")), vm(2));
  // Another process reads the same.
  const auto other = place_.open();
  EXPECT_EQ(value_of(other->points().find("vm@latest")), vm(2));
  EXPECT_EQ(gap_in(*store), "");
}

TEST_F(PointMarks, ANameThatWasRemovedForGoodIsNotFreeAgain) {
  const auto store = place_.open();
  commit_days(*store, 3);
  expect_ok(remove(*store, vm(1)));
  EXPECT_THAT(value_of(store->points().used_times("vm")), Contains(vm(1).time));
  expect_ok(purge(*store, vm(1)));
  expect_ok(purge(*store, vm(2)));
  expect_ok(purge(*store, vm(0)));
  EXPECT_THAT(value_of(store->points().list_stored()), IsEmpty());
  EXPECT_THAT(value_of(store->points().tombstones()), IsEmpty());
  EXPECT_THAT(value_of(store->points().used_times("vm")), ElementsAre(vm(0).time, vm(1).time, vm(2).time));
  EXPECT_THAT(value_of(store->points().used_times("other")), IsEmpty());
  EXPECT_EQ(gap_in(*store), "");
}

TEST(NewestPoints, RemembersTheLastNamesOnly) {
  NewestPoints newest{"vm", {}};
  const int more = static_cast<int>(NewestPoints::kMostGone) + 3;
  for (int day = 0; day < more; ++day) {
    Tombstone gone;
    gone.point = vm(day);
    newest.remember(gone);
  }
  EXPECT_EQ(newest.gone.size(), NewestPoints::kMostGone);
  EXPECT_THAT(newest.gone, Not(Contains(vm(2).time)));
  EXPECT_EQ(newest.gone.back(), vm(more - 1).time);
}

}  // namespace
}  // namespace cairn
