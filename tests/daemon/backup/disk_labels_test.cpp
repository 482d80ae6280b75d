// SPDX-License-Identifier: GPL-3.0-or-later
// What backups say of the disks they read: torn, suspect, left out. With images in memory, through whole backups.
#include "daemon/backup/disk_labels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "daemon/backup/backup.h"
#include "daemon/queue/job.h"
#include "daemon/restore/restore.h"
#include "fs/store/store.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"
#include "tests/daemon/manual_clock.h"
#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using std::chrono::days;
using std::chrono::hours;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::uint64_t kMiBytes = 1024 * 1024;

// What a backup of a disk finds.
struct FakeDisk {
  std::uint64_t size = 4 * kMiBytes;
  bool empty = false;
  std::optional<ImageChange> change;
  bool snapshot = false;
};

class FakeImage final : public ImageReader {
 public:
  explicit FakeImage(const FakeDisk& disk) : disk_(disk), inner_(disk.size) {
    if (!disk.empty && disk.size > 0) inner_.fill_random(0, disk.size / 2, 7);
  }
  [[nodiscard]] std::uint64_t size() const override { return inner_.size(); }
  Result<ImageExtent> extent_at(std::uint64_t offset) override { return inner_.extent_at(offset); }
  Result<void> read(std::uint64_t offset, MutableBytes to) override { return inner_.read(offset, to); }
  [[nodiscard]] int fd() const override { return -1; }
  Result<std::optional<ImageChange>> changed_underneath() override { return disk_.change; }
  [[nodiscard]] bool is_snapshot() const override { return disk_.snapshot; }
  [[nodiscard]] std::string how() const override { return "fake"; }

 private:
  FakeDisk disk_;
  MemoryImage inner_;
};

class DiskLabelsTest : public testing::Test {
 protected:
  DiskLabelsTest() {
    machine_.name = "web";
    add("root");
  }
  void add(const std::string& name) {
    DiskSettings disk;
    disk.name = name;
    disk.image = images_.path() / name;
    std::ofstream(images_.path() / name) << "what is read is the fake's";
    machine_.disks.push_back(disk);
    disks_[name] = {};
  }
  void drop(const std::string& name) {
    std::erase_if(machine_.disks, [&](const DiskSettings& disk) { return disk.name == name; });
  }
  // The point that it made; its warnings are in warnings_.
  RecoveryPoint back_up(bool accept_change = false) {
    clock_.advance(hours(24));
    BackupInputs inputs{*store_, clock_};
    inputs.accept_change = accept_change;
    inputs.immutable = immutable_;
    inputs.read_clock = [this] { return ClockReading{clock_.now(), "boot", since_boot_ += hours(24)}; };
    inputs.open_image = [this](const DiskSource& source) -> Result<std::unique_ptr<ImageReader>> {
      return std::make_unique<FakeImage>(disks_.at(source.path.filename().string()));
    };
    JobContext job;
    const nlohmann::json result = value_of(run_backup(machine_, inputs, job));
    warnings_ = job.view().warnings;
    return value_of(store_->points().load(*PointName::parse(result["name"].get<std::string>())));
  }

  TemporaryDirectory images_;
  TemporaryStore place_;
  std::unique_ptr<Store> store_ = place_.open();
  ManualClock clock_;
  std::chrono::seconds since_boot_{0};
  std::optional<std::chrono::seconds> immutable_;
  MachineSettings machine_;
  std::map<std::string, FakeDisk> disks_;
  std::vector<std::string> warnings_;
};

TEST_F(DiskLabelsTest, ADiskThatWasWrittenToWhileItWasReadIsTornAndRestoreSaysIt) {
  disks_["root"].change = ImageChange{ImageChange::Kind::torn, "it was written to while it was read"};
  const RecoveryPoint point = back_up();
  EXPECT_EQ(point.consistency, Consistency::torn);
  EXPECT_EQ(point.disks[0].reading.reason, "it was written to while it was read");
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("[disk-torn]")));
  EXPECT_THAT(point_warnings(point, {}, {}), ElementsAre(HasSubstr("[disk-torn]")));
  EXPECT_THAT(point_warnings(point, "other", {}), IsEmpty());
}

TEST_F(DiskLabelsTest, WhatCannotBeSeenIsUnknownAndWhatSurelyDidNotChangeIsNot) {
  disks_["root"].change = ImageChange{ImageChange::Kind::not_known, "there are no counters"};
  EXPECT_EQ(back_up().consistency, Consistency::unknown);
  disks_["root"].change = ImageChange{ImageChange::Kind::untouched, "it was removed"};
  EXPECT_EQ(back_up().consistency, Consistency::crash);
  disks_["root"].change.reset();
  const RecoveryPoint point = back_up();
  EXPECT_EQ(point.consistency, Consistency::crash);
  EXPECT_EQ(point.disks[0].reading.how, "fake");
}

TEST_F(DiskLabelsTest, DisksAreOfOneInstantOnlyWhenThatIsKnown) {
  add("data");
  EXPECT_EQ(back_up().apart_ms, 0U) << "nobody wrote to either";
  for (auto& [name, disk] : disks_) disk.snapshot = true;
  EXPECT_GE(back_up().apart_ms.value_or(0), 1U) << "two clones, one after the other";
  disks_["data"].snapshot = false;
  disks_["data"].change = ImageChange{ImageChange::Kind::torn, "it was written to"};
  const RecoveryPoint point = back_up();
  EXPECT_GE(point.apart_ms.value_or(0), 1U);
  EXPECT_EQ(point.consistency, Consistency::torn);
  EXPECT_EQ(point.disk("root")->reading.consistency, Consistency::crash);
}

TEST_F(DiskLabelsTest, ADiskThatShrankIsSuspectUntilItIsAsLargeAgain) {
  const RecoveryPoint good = back_up();
  for (const std::uint64_t size : {std::uint64_t{0}, kMiBytes, 3 * kMiBytes}) {
    disks_["root"].size = size;
    const RecoveryPoint point = back_up();
    ASSERT_TRUE(point.suspect()) << size;
    EXPECT_EQ(point.disks[0].suspicion->point, good.name.text()) << "never compared with a suspect one";
    EXPECT_THAT(warnings_, Contains(HasSubstr("[disk-suspect]")));
    EXPECT_THAT(point_warnings(point, {}, {}), ElementsAre(HasSubstr("[disk-suspect]")));
  }
  disks_["root"].size = 4 * kMiBytes;
  EXPECT_FALSE(back_up().suspect());
}

TEST_F(DiskLabelsTest, ADiskThatIsAllZerosIsSuspectAndANewEmptyOneIsNot) {
  disks_["root"].empty = true;
  EXPECT_FALSE(back_up().suspect()) << "there was no data before";
  disks_["root"].empty = false;
  EXPECT_FALSE(back_up().suspect());
  disks_["root"].empty = true;
  EXPECT_TRUE(back_up().suspect());
  EXPECT_TRUE(back_up().suspect()) << "still";
}

TEST_F(DiskLabelsTest, AcceptingTheChangeMakesItTheStateThatNextOnesAreComparedWith) {
  back_up();
  disks_["root"].size = kMiBytes;
  EXPECT_TRUE(back_up().suspect());
  EXPECT_FALSE(back_up(true).suspect());
  EXPECT_FALSE(back_up().suspect());
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(DiskLabelsTest, ADiskThatTheSettingsDroppedIsNamedInEachBackup) {
  add("data");
  const RecoveryPoint with = back_up();
  drop("data");
  for (int i = 0; i < 3; ++i) {
    const RecoveryPoint point = back_up();
    ASSERT_THAT(point.left_out, SizeIs(1));
    EXPECT_EQ(point.left_out[0].disk, "data");
    EXPECT_EQ(point.left_out[0].point, with.name.text());
    EXPECT_THAT(warnings_, ElementsAre(testing::AllOf(HasSubstr("web/data"), HasSubstr("[disk-left-out]"))));
  }
  machine_.left_out = {"data"};
  EXPECT_THAT(back_up().left_out, IsEmpty());
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(DiskLabelsTest, ImmutabilityCountsTheTimeThatIsTrusted) {
  immutable_ = days(1);
  const RecoveryPoint first = back_up();
  EXPECT_EQ(first.immutable_until, first.name.time + days(1));
  EXPECT_FALSE(first.trusted_time);
  const auto writer = value_of(begin_writing(*store_, "test"));
  expect_ok(keep_clock(*writer, {{clock_.now(), "boot", since_boot_}, std::chrono::seconds(0), {}}));
  const UtcTime right = clock_.now();
  clock_.set(right + days(15 * 365));
  const RecoveryPoint ahead = back_up();
  EXPECT_EQ(ahead.trusted_time, right + days(1)) << "a day passed since the record";
  EXPECT_EQ(ahead.immutable_until, right + days(2));
  // Set right again, it is latest, and compared with what was written last.
  clock_.set(right + days(1));
  const RecoveryPoint now = back_up();
  EXPECT_THAT(warnings_, Contains(HasSubstr("[point-in-future]")));
  EXPECT_EQ(value_of(store_->points().find("web@latest")), now.name);
  EXPECT_THAT(point_warnings(ahead, {}, clock_.now()), ElementsAre(HasSubstr("[point-in-future]")));
  EXPECT_THAT(point_warnings(now, {}, clock_.now()), IsEmpty());
}

TEST_F(DiskLabelsTest, ThePurgedPointsNameIsNotGivenAgain) {
  const RecoveryPoint first = back_up();
  {
    const auto writer = value_of(begin_writing(*store_, "test"));
    expect_ok(purge_point(*writer, first.name, "test", clock_.now(), clock_.now()));
  }
  clock_.set(first.name.time - days(1));
  EXPECT_EQ(back_up().name.time, first.name.time + std::chrono::seconds(1));
}

}  // namespace
}  // namespace cairn
