// SPDX-License-Identifier: GPL-3.0-or-later
// What a power cut at any call of a backup leaves behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "config/base/log.h"
#include "config/base/units.h"
#include "fs/io/local_backend.h"
#include "fs/store/index/index.h"
#include "fs/store/verify/rebuild_index.h"
#include "fs/store/write/ingest.h"
#include "fs/store/write/store_writer.h"
#include "tests/fs/store/stored_disk.h"
#include "tests/support/memory_backend.h"
#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

// What becomes of the index, which is not written through the backend.
enum class IndexAfterCut { as_written, as_before, empty };

class Scene {
 public:
  Scene() {
    first_.fill_random(0, kMiB, 1);
    first_.fill_random(5 * kMiB, kMiB, 2);
    second_ = first_;
    second_.fill_random(kMiB / 2, kMiB, 3);
    second_.fill_random(8 * kMiB, 18 * kMiB, 4);  // more than one pack
    const auto store = place_.open();
    value_of(take_backup(*store, first_, "vm", test_time()));
  }

  // Takes the second backup with the power cut at call `cut`. Returns how many calls there were.
  std::uint64_t back_up_until(std::uint64_t cut, CutAt at, IndexAfterCut index_after, bool& reported) {
    const auto index = place_.path() / "index";
    const auto kept = place_.path() / "index.kept";
    std::filesystem::copy(index, kept);
    const auto backend = std::make_shared<FaultyBackend>(std::make_shared<LocalBackend>(place_.path()), cut, at);
    {
      const auto store = Store::open(place_.path(), backend, TemporaryStore::key());
      reported = store && take_backup(**store, second_, "vm", test_time(1));
    }
    std::ofstream(place_.path() / "tmp" / "half-written") << "what a put was writing";
    if (index_after != IndexAfterCut::as_written) {
      std::filesystem::remove_all(index);
      if (index_after == IndexAfterCut::as_before) std::filesystem::rename(kept, index);
    }
    std::filesystem::remove_all(kept);
    return backend->calls();
  }

  // After the power is back: everything that was reported is there, bit by bit, nothing half-made is listed, and the
  // next backup succeeds.
  void check(bool reported, bool index_lost) {
    const auto store = place_.open();
    if (index_lost) value_of(rebuild_index(*store));
    {
      value_of(begin_writing(*store, "recovery"));
    }  // as the daemon's next backup does
    const auto points = value_of(store->points().list());
    ASSERT_GE(points.size(), reported ? 2U : 1U);
    ASSERT_LE(points.size(), 2U);
    expect_same(*store, points[0], first_);
    if (points.size() == 2) expect_same(*store, points[1], second_);
    const RecoveryPoint next = value_of(take_backup(*store, second_, "vm", test_time(2)));
    expect_same(*store, next.name, second_);
    EXPECT_TRUE(std::filesystem::is_empty(place_.path() / "tmp"));
  }

 private:
  TemporaryStore place_;
  MemoryImage first_{27 * kMiB + 5};
  MemoryImage second_{27 * kMiB + 5};
};

class BackupCrash : public testing::TestWithParam<std::tuple<CutAt, IndexAfterCut>> {};

TEST_P(BackupCrash, EveryCutLeavesAStoreThatReadsAndGoesOn) {
  const auto [at, index_after] = GetParam();
  std::string log;
  redirect_log(&log);
  bool finished = false;
  std::uint64_t cut = 0;
  for (; !finished; ++cut) {
    SCOPED_TRACE(cut);
    ASSERT_LT(cut, 1000U);
    Scene scene;
    bool reported = false;
    const std::uint64_t calls = scene.back_up_until(cut, at, index_after, reported);
    finished = calls <= cut;  // the cut came too late to be felt
    EXPECT_TRUE(!finished || reported);
    scene.check(reported, index_after == IndexAfterCut::empty);
    if (testing::Test::HasFailure()) break;
  }
  redirect_log(nullptr);
  EXPECT_GT(cut, 6U);  // open, list, packs, list, read the previous point, put
}

INSTANTIATE_TEST_SUITE_P(Cuts, BackupCrash,
                         testing::Combine(testing::Values(CutAt::before_effect, CutAt::after_effect),
                                          testing::Values(IndexAfterCut::as_written, IndexAfterCut::as_before,
                                                          IndexAfterCut::empty)));

TEST(WriterFailure, StaysAFailureForEveryoneWhoSharesTheWriter) {
  const TemporaryStore place;
  const auto backend =
      std::make_shared<FaultyBackend>(std::make_shared<LocalBackend>(place.path()), UINT64_MAX, CutAt::before_effect);
  const auto store = value_of(Store::open(place.path(), backend, TemporaryStore::key()));
  const auto writer = value_of(begin_writing(*store, "test"));
  backend->cut_now();
  MemoryImage image(64 * kMiB);
  image.fill_random(0, 64 * kMiB, 1);
  // Packs are written beside the reading: on a busy machine it is the flush that learns of the failure.
  EXPECT_FALSE(ingest_disk(*writer, image, {}) && writer->flush());
  MemoryImage other(kMiB);
  other.fill_random(0, kMiB, 2);
  EXPECT_FALSE(ingest_disk(*writer, other, {}) && writer->flush());
  RecoveryPoint point;
  point.name = {"vm", test_time()};
  EXPECT_FALSE(writer->commit(point));
  EXPECT_TRUE(std::filesystem::is_empty(place.path() / "points"));
}

}  // namespace
}  // namespace cairn
