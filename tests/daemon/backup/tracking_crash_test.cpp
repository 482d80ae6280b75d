// SPDX-License-Identifier: GPL-3.0-or-later
// Change tracking after crashes and failures of its records, and a tracker that is wrong.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "config/base/log.h"
#include "fs/store/point/point_file.h"
#include "tests/daemon/backup/tracking_fall_back.h"

namespace cairn::testing {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr std::size_t kSize = kFallBackSize;

TEST_F(TrackingFallBack, AFailureAtAnyCallOfTheRecordsLeavesTheRightPair) {
  const auto real = place().records;
  const auto count = [&] {
    const auto counting = std::make_shared<FaultyBackend>(real, UINT64_MAX, CutAt::before_effect);
    records_ = counting;
    backed_up();
    return counting->calls();
  };
  const std::uint64_t calls = count();
  ASSERT_GE(calls, 3U);
  for (std::uint64_t cut = 0; cut < calls; ++cut) {
    for (const CutAt at : {CutAt::before_effect, CutAt::after_effect}) {
      SCOPED_TRACE(cut);
      write(cut * kChunk, random_bytes(4096, ++writes_));
      records_ = std::make_shared<FaultyBackend>(real, cut, at);
      backed_up();
      records_ = nullptr;
      // Whatever is there now: the next point is right, and the one after tracked.
      write((cut + 20) * kChunk, random_bytes(4096, ++writes_));
      backed_up();
      EXPECT_THAT(warnings_, IsEmpty());
      expect_tracked(0);
    }
  }
}

TEST_F(TrackingFallBack, ACrashBetweenPointAndRecordLeavesTheOldPairWhichIsNotUsed) {
  const TrackingRecord before = record();
  // Keep the old clone's blocks, as a crash would: its name comes back after the backup.
  std::filesystem::create_hard_link(before.clone.path, box_ / "mnt/saved");
  write(0, random_bytes(4096, 9));
  backed_up();
  const TrackingRecord after = record();
  std::filesystem::rename(box_ / "mnt/saved", before.clone.path);
  put_record(before);
  // Both clones are there, the record is the old one: the new clone is a leftover.
  write(kMiB, random_bytes(4096, 10));
  const json row = backed_up();
  EXPECT_THAT(note_of(row), HasSubstr("and the newest recovery point is " + after.point));
  EXPECT_EQ(read_of(row), kSize);
  EXPECT_THAT(clones(), ElementsAre(record().clone.path));
  expect_tracked(0);
}

TEST_F(TrackingFallBack, LeftoversOfCrashesAreRemovedAndOthersFilesAreNot) {
  const auto folder = box_ / "mnt/.cairn-clones";
  const std::string mine = "web@root." + place().owner + ".";
  for (const std::string& name : {mine + "0123456789abcdef", std::string("web@root.ffffffffffffffff.0123456789abcdef"),
                                  std::string("db@root.") + place().owner + ".01", std::string("notes.txt")})
    write_at(folder / name, 0, random_bytes(100, 1));
  backed_up();
  EXPECT_FALSE(std::filesystem::exists(folder / (mine + "0123456789abcdef")));
  EXPECT_THAT(clones(), SizeIs(4));
}

TEST_F(TrackingFallBack, AFullReadingIsTakenWhenItIsDueAndFindsNoFault) {
  const std::string first = iso_time(record().full_read);
  write(0, random_bytes(4096, 11));
  expect_tracked(kChunk);
  EXPECT_EQ(iso_time(record().full_read), first);
  clock_.advance(std::chrono::days(31));
  write(kMiB, random_bytes(4096, 12));
  json row = backed_up();
  EXPECT_THAT(note_of(row), HasSubstr("a full read is due: the last one was at " + first + " (full_read: 30d)"));
  EXPECT_EQ(read_of(row), kSize);
  EXPECT_THAT(warnings_, IsEmpty());
  EXPECT_EQ(record().full_read_point, newest().name.text());
  expect_tracked(0);
  // A clock that was set back makes it due as well.
  change_record([&](TrackingRecord& record) { record.full_read = clock_.now() + std::chrono::days(5); });
  row = backed_up();
  EXPECT_THAT(note_of(row), HasSubstr("a full read is due"));
  read_all_ = true;
  row = backed_up();
  EXPECT_THAT(note_of(row), HasSubstr("a full read was asked for"));
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(TrackingFallBack, AMissedChangeIsReportedLoudlyAndTrackingStaysOff) {
  const std::string full_read_point = record().full_read_point;
  // A point whose disk differs in three places from the clone that is said to be its own.
  Buffer wrong = read_all(image_);
  for (const std::uint64_t at : {std::uint64_t{0}, 10 * kChunk, 11 * kChunk, 40 * kChunk}) wrong[at] ^= 1;
  MemoryImage other(kSize);
  other.write(0, wrong);
  clock_.advance(std::chrono::seconds(5));
  const RecoveryPoint forged = value_of(take_backup(*store_, other, "web", clock_.now()));
  change_record([&](TrackingRecord& record) {
    record.point = forged.name.text();
    record.point_hash = value_of(store_->points().hash_of(forged.name));
  });
  // Built on it by tracking: wrong as well.
  back_up();
  EXPECT_FALSE(point_equals(image_));
  const std::string second = newest().name.text();

  std::string log;
  redirect_log(&log);
  read_all_ = true;
  const json row = backed_up();  // right in any case
  read_all_ = false;
  redirect_log(nullptr);
  EXPECT_EQ(read_of(row), kSize);
  ASSERT_THAT(warnings_, SizeIs(1));
  EXPECT_THAT(warnings_[0], HasSubstr("disk root: "));
  EXPECT_THAT(warnings_[0], HasSubstr("[tracking-wrong]"));
  EXPECT_THAT(warnings_[0], HasSubstr("256 KiB in 3 ranges of bytes (0+65536, 655360+131072, 2621440+65536)"));
  EXPECT_THAT(warnings_[0], HasSubstr(forged.name.text()));
  EXPECT_THAT(warnings_[0], HasSubstr(second));
  EXPECT_THAT(warnings_[0], Not(HasSubstr(full_read_point)));
  EXPECT_THAT(log, HasSubstr("tracking-wrong web/root error=tracking-wrong"));
  EXPECT_TRUE(record().distrusted);

  // Still off, with the reason, until a full read agrees.
  const json next = backed_up();
  EXPECT_THAT(note_of(next), HasSubstr("change tracking has missed a change"));
  EXPECT_EQ(read_of(next), kSize);
  EXPECT_THAT(warnings_, IsEmpty());
  expect_tracked(0);
}

TEST_F(TrackingFallBack, DistrustOutlivesALostClone) {
  change_record([](TrackingRecord& record) { record.distrusted = true; });
  std::filesystem::remove(clones().at(0));
  EXPECT_THAT(note_of(backed_up()), HasSubstr("is gone"));
  EXPECT_TRUE(record().distrusted);
  EXPECT_THAT(note_of(backed_up()), HasSubstr("missed a change"));
  expect_tracked(0);
}

}  // namespace
}  // namespace cairn::testing
