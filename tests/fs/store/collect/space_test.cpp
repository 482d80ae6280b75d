// SPDX-License-Identifier: GPL-3.0-or-later
// What of a store is needed by what.
#include "fs/store/collect/space.h"
#include "fs/store/collect/garbage.h"

#include <gtest/gtest.h>

#include "config/base/units.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"
#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

constexpr std::uint64_t kDisk = 4 * kMiB;
constexpr std::uint64_t kSealed = sealed_in_sections(kMinChunkSize);

class Space : public testing::Test {
 protected:
  // A disk of `own` chunks that nobody else has and `common` ones that all such disks have.
  PointName take(const std::string& machine, unsigned seed, std::uint64_t own, std::uint64_t common, int seconds) {
    MemoryImage image(kDisk);
    image.fill_random(0, own * kMinChunkSize, seed);
    image.fill_random(32 * kMinChunkSize, common * kMinChunkSize, 9999);
    return value_of(take_backup(*store_, image, machine, test_time(seconds))).name;
  }
  SpaceReport measure(std::set<PointName> due = {}) {
    return value_of(measure_space(*store_, {test_time(), std::move(due), 0.5, {}}));
  }

  TemporaryStore place_;
  std::unique_ptr<Store> store_ = place_.open();
};

// Nodes are compressed and count too: a few hundred bytes each.
#define EXPECT_ABOUT(bytes, expected) \
  EXPECT_GE(bytes, (expected));       \
  EXPECT_LT(bytes, (expected) + 3 * 4096U)

TEST_F(Space, TellsWhatIsOneMachinesAndWhatIsShared) {
  take("one", 1, 10, 5, 0);
  take("one", 2, 3, 5, 1);
  take("two", 3, 20, 5, 2);
  const SpaceReport report = measure();
  ASSERT_EQ(report.machines.size(), 2U);
  EXPECT_EQ(report.machines[0].points, 2U);
  EXPECT_EQ(report.machines[0].logical, 2 * kDisk);
  EXPECT_ABOUT(report.machines[0].unique, 13 * kSealed);
  EXPECT_EQ(report.machines[0].shared, 5 * kSealed);
  EXPECT_ABOUT(report.machines[1].unique, 20 * kSealed);
  EXPECT_EQ(report.machines[1].shared, 5 * kSealed);
  EXPECT_EQ(report.needed, report.machines[0].unique + report.machines[1].unique + 5 * kSealed);
  EXPECT_EQ(report.logical, 3 * kDisk);
  EXPECT_EQ(report.deleted, 0U);
  // The packs' headers, footers and padding are all the rest.
  EXPECT_LT(report.reclaimable, 8192U);
  EXPECT_EQ(report.next_prune_frees, 0U);
  EXPECT_EQ(report.unreadable_points, 0U);
}

TEST_F(Space, FiguresOfMachinesThatShareAllAddUp) {
  take("one", 1, 10, 5, 0);
  take("two", 1, 10, 5, 1);
  const SpaceReport report = measure();
  EXPECT_EQ(report.machines[0].unique, 0U);
  EXPECT_EQ(report.machines[1].unique, 0U);
  EXPECT_EQ(report.machines[0].shared, report.machines[1].shared);
  EXPECT_EQ(report.needed, report.machines[0].shared);
}

TEST_F(Space, TellsBeforehandWhatAPruneFrees) {
  take("kept", 1, 10, 5, 0);
  const PointName due = take("due", 2, 20, 5, 1);
  const PointName gone = take("gone", 3, 7, 5, 2);
  expect_ok(remove_point(*value_of(begin_writing(*store_, "test")), gone));
  const SpaceReport report = measure({due});
  EXPECT_EQ(report.points, 1U);
  EXPECT_GT(report.reclaimable, 27 * kSealed);
  expect_ok(remove_point(*value_of(begin_writing(*store_, "test")), due));
  const CollectReport freed = value_of(collect_garbage(*value_of(begin_writing(*store_, "test")), {}));
  EXPECT_EQ(report.next_prune_frees, freed.freed_bytes);
  EXPECT_LT(measure().reclaimable, 8192U);
}

}  // namespace
}  // namespace cairn
