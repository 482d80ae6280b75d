// SPDX-License-Identifier: GPL-3.0-or-later
// Change tracking when something is not as expected: every fall-back reads everything, says why, and is over at the
// next backup.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "config/base/log.h"
#include "fs/store/point/point_file.h"
#include "fs/store/verify/rebuild_index.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"
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

TEST_F(TrackingFallBack, TheCloneIsGone) {
  std::filesystem::remove(clones().at(0));
  expect_fall_back("is gone");
  std::filesystem::remove_all(box_ / "mnt/.cairn-clones");
  expect_fall_back("is gone");
}

TEST_F(TrackingFallBack, SomebodyWroteToTheClone) {
  write_at(clones().at(0), 100, random_bytes(10, 3));
  expect_fall_back("was changed since it was kept");
}

TEST_F(TrackingFallBack, SomebodyWroteToTheCloneAndSetTheTimeBack) {
  const auto clone = clones().at(0);
  struct stat before{};
  ASSERT_EQ(::stat(clone.c_str(), &before), 0);
  write_at(clone, 100, random_bytes(10, 3));
  const struct timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, clone.c_str(), times, 0), 0);
  expect_fall_back("was changed since it was kept");
}

TEST_F(TrackingFallBack, ACloneThatIsWrittenToAtOnceIsSeen) {
  // Without the wait in keep_clone() a write in the same tick would carry the same time.
  for (int round = 0; round < 10; ++round) {
    backed_up();
    write_at(clones().at(0), 100, random_bytes(10, 3));
    const json row = backed_up();
    EXPECT_THAT(note_of(row), HasSubstr("was changed since it was kept"));
  }
}

TEST_F(TrackingFallBack, AnotherFileIsWhereTheCloneWas) {
  const auto clone = clones().at(0);
  ASSERT_EQ(run({"cp", "-p", clone.string(), (box_ / "mnt/copy").string()}).status, 0);
  std::filesystem::rename(box_ / "mnt/copy", clone);
  expect_fall_back("another file is where");
  const auto next = clones().at(0);
  std::filesystem::remove(next);
  std::filesystem::create_symlink(image_, next);
  expect_fall_back("cannot be opened");
}

TEST_F(TrackingFallBack, TheCloneLiesOnAnotherFileSystem) {
  const MountedFileSystem other(box_ / "other-system", 400 * kMiB, {"mkfs.xfs", "-q"}, box_ / "mnt2");
  ASSERT_TRUE(other.ok()) << other.reason();
  write_at(box_ / "mnt2/clone", 0, read_all(image_));
  const UniqueFd fd(::open((box_ / "mnt2/clone").c_str(), O_RDONLY | O_CLOEXEC));
  std::filesystem::permissions(box_ / "mnt2", std::filesystem::perms::owner_all);
  KeptClone forged;
  forged.path = box_ / "mnt2/clone";
  struct statx facts{};
  ASSERT_EQ(::statx(fd.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &facts), 0);
  const auto ns = [](const struct statx_timestamp& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; };
  forged.identity = {facts.stx_ino, facts.stx_size, ns(facts.stx_mtime), ns(facts.stx_ctime), ns(facts.stx_btime)};
  change_record([&](TrackingRecord& record) { record.clone = forged; });
  expect_fall_back("lies on another file system");
}

TEST_F(TrackingFallBack, TheRecordIsDamagedOrOfAnotherVersion) {
  const auto spoil = [&](const std::string& text) { std::ofstream(record_file(), std::ios::trunc) << text; };
  spoil("");
  expect_fall_back("it is not JSON");
  spoil("[]");
  expect_fall_back("cannot be used");
  json document = json::parse(write_record(record()));
  document["version"] = 3;
  spoil(document.dump());
  expect_fall_back("it has version 3, this is 2");
  document = json::parse(write_record(record()));
  document["version"] = 2;
  spoil(document.dump());
  expect_fall_back("it is damaged");
  change_record([](TrackingRecord& record) { record.format = DiskFormat::qcow2; });
  expect_fall_back("the image was read as qcow2 for");
  document = json::parse(write_record(record()));
  document["clone"].erase("inode");
  spoil(document.dump());
  expect_fall_back("it is damaged");
  spoil(std::string(1 << 20, 'x'));
  expect_fall_back("cannot be used");
  std::filesystem::remove(record_file());
  std::filesystem::create_directory(record_file());
  const json row = backed_up();
  EXPECT_EQ(read_of(row), kSize);
  EXPECT_THAT(warnings_, SizeIs(1));  // nor can a new one be kept
  EXPECT_THAT(clones(), IsEmpty());
  std::filesystem::remove(record_file());
  expect_fall_back("no reference snapshot");
}

TEST_F(TrackingFallBack, TheRecordIsForAnotherStoreOrDisk) {
  change_record([](TrackingRecord& record) { record.store = std::string(32, '0'); });
  expect_fall_back("another store");
  change_record([](TrackingRecord& record) { record.chunk_size = 128 * 1024; });
  expect_fall_back("another store");
  TrackingRecord foreign = record();
  foreign.disk = "other";
  std::ofstream(record_file(), std::ios::trunc) << write_record(foreign);
  expect_fall_back("another disk");
}

TEST_F(TrackingFallBack, AnotherStoreHasItsOwnRecordAndClone) {
  const TemporaryStore second(128 * 1024);
  auto first = std::move(store_);
  store_ = second.open();
  json row = backed_up();
  EXPECT_THAT(note_of(row), HasSubstr("no reference snapshot"));
  EXPECT_TRUE(only_changes(backed_up()));
  EXPECT_THAT(clones(), SizeIs(2));
  store_ = std::move(first);
  EXPECT_TRUE(only_changes(backed_up()));
  EXPECT_THAT(clones(), SizeIs(2));
}

TEST_F(TrackingFallBack, ThePointBeforeIsGone) {
  const PointName newest_point = newest().name;
  expect_ok(remove_point(*value_of(begin_writing(*store_, "test")), newest_point));
  expect_fall_back("which is not in the store any more");
  for (const PointName& point : value_of(store_->points().list()))
    expect_ok(remove_point(*value_of(begin_writing(*store_, "test")), point));
  expect_fall_back("no recovery point any more");
}

TEST_F(TrackingFallBack, SomebodyElseMadeANewerPoint) {
  MemoryImage other(kSize);
  other.fill_random(0, kSize, 77);
  clock_.advance(std::chrono::seconds(5));
  value_of(take_backup(*store_, other, "web", clock_.now()));
  expect_fall_back("and the newest recovery point is");
}

TEST_F(TrackingFallBack, ThePointBeforeIsNotTheOneThatItWas) {
  const PointName name = newest().name;
  RecoveryPoint changed = newest();
  expect_ok(remove_point(*value_of(begin_writing(*store_, "test")), name));
  changed.warnings.emplace_back("another document");
  expect_ok(value_of(begin_writing(*store_, "test"))->commit(changed));
  expect_fall_back("is not as it was when the clone was kept");
}

TEST_F(TrackingFallBack, ThePointBeforeCannotBeRead) {
  const auto file = directory_.path() / "points" / newest().name.text();
  Buffer bytes = read_all(file);
  bytes.back() ^= 1;
  std::filesystem::remove(file);
  write_at(file, 0, bytes);
  // Also when the record agrees with what is there now.
  change_record([&](TrackingRecord& record) { record.point_hash = Blake3::hex_of(bytes); });
  expect_fall_back("cannot be read");
}

TEST_F(TrackingFallBack, ThePointBeforeHasNoSuchDiskOrAnotherSize) {
  const auto pretend = [&](const std::string& disk, std::uint64_t size) {
    RecoveryPoint point = newest();
    point.disks[0].name = disk;
    point.disks[0].map.size = size;
    clock_.advance(std::chrono::seconds(5));
    point.name.time = clock_.now();
    expect_ok(value_of(begin_writing(*store_, "test"))->commit(point));
    change_record([&](TrackingRecord& record) {
      record.point = point.name.text();
      record.point_hash = value_of(store_->points().hash_of(point.name));
    });
  };
  settings_.machines["web"].left_out = {"boot"};
  pretend("boot", kSize);
  expect_fall_back("has no such disk");
  pretend("root", kSize + 4096);
  expect_fall_back("has another size");
}

TEST_F(TrackingFallBack, TheStoreLostPacks) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path() / "packs")) {
    if (!entry.is_regular_file()) continue;
    std::filesystem::remove(entry.path());
    break;
  }
  expect_fall_back("has lost packs", ::testing::ElementsAre(::testing::HasSubstr("1 pack missing")));
  // The new point does not build on what is not there.
  EXPECT_TRUE(point_equals(image_));
}

TEST_F(TrackingFallBack, TheIndexWasMadeAnew) {
  value_of(rebuild_index(*store_));
  expect_fall_back("its index was made anew");
}

TEST_F(TrackingFallBack, TheMapBeforeIsDamaged) {
  // Bytes in the middle of every pack go bad, the leaf's among them; the index knows nothing of it.
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path() / "packs")) {
    if (!entry.is_regular_file()) continue;
    Buffer bytes = read_all(entry.path());
    for (std::size_t i = 64; i + 48 < bytes.size(); i += 997) bytes[i] ^= 0xFF;
    write_at(entry.path(), 0, bytes);
  }
  store_.reset();
  store_ = directory_.open();
  write(kMiB, random_bytes(4096, 5));
  const json row = back_up()["disks"][0];
  EXPECT_THAT(note_of(row), HasSubstr("what the previous recovery point has cannot be read"));
  EXPECT_EQ(read_of(row), kSize);
}

TEST_F(TrackingFallBack, SwitchedOffNothingIsKept) {
  settings_.change_tracking.enabled = false;
  const json row = backed_up();
  EXPECT_EQ(row["how"], "reflink clone");
  EXPECT_EQ(note_of(row), "");
  EXPECT_FALSE(std::filesystem::exists(record_file()));
  EXPECT_FALSE(std::filesystem::exists(box_ / "mnt/.cairn-clones"));
  settings_.change_tracking.enabled = true;
  expect_fall_back("no reference snapshot");
}

TEST_F(TrackingFallBack, ClonesOfDisksThatAreNotInTheSettingsGo) {
  MachineSettings& machine = settings_.machines["db"];
  machine.name = "db";
  machine.disks = {DiskSettings{"root", box_ / "mnt/db.img", {}, {}}};
  write_at(box_ / "mnt/db.img", 0, random_bytes(kMiB, 8));
  back_up("db");
  EXPECT_TRUE(point_equals(box_ / "mnt/db.img", "db"));
  ASSERT_THAT(clones(), SizeIs(2));
  // Beside each other in one folder, they do not disturb each other.
  expect_ok(load_record(*place().records, "db", "root") ? Result<void>() : fail(ErrorCode::internal, "", ""));
  EXPECT_TRUE(only_changes(back_up("db")["disks"][0]));
  EXPECT_TRUE(only_changes(backed_up()));
  // Another settings file with the same state directory and store leaves them alone.
  const auto file = std::exchange(settings_.file, box_ / "other.yaml");
  settings_.machines.erase("db");
  back_up();
  EXPECT_THAT(clones(), SizeIs(2));
  settings_.file = file;
  back_up();
  EXPECT_THAT(clones(), ElementsAre(record().clone.path));
  EXPECT_FALSE(load_record(*place().records, "db", "root"));
}

TEST_F(TrackingFallBack, TheFolderCanBeSomewhereElse) {
  std::filesystem::create_directory(box_ / "mnt/sub");
  settings_.change_tracking.clones = box_ / "mnt/sub/clones";
  expect_tracked_after_move(box_ / "mnt/sub/clones");
  // On another file system no clone can be kept; the backup is still taken from one.
  settings_.change_tracking.clones = box_ / "elsewhere";
  json row = backed_up();
  EXPECT_EQ(row["how"], "reflink clone");
  EXPECT_THAT(note_of(row), HasSubstr("no clone in " + (box_ / "elsewhere").string()));
  EXPECT_THAT(note_of(row), HasSubstr("another file system"));
  EXPECT_THAT(clones_in(box_ / "mnt/sub/clones"), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(box_ / "elsewhere"));
  EXPECT_THAT(warnings_, IsEmpty());
  // Nor in a folder that others could write to, or that is a link.
  settings_.change_tracking.clones = box_ / "mnt/shared";
  std::filesystem::create_directory(box_ / "mnt/shared");
  ASSERT_EQ(::chmod((box_ / "mnt/shared").c_str(), 0777), 0);
  expect_untracked("can be written to by other users");
  settings_.change_tracking.clones = box_ / "mnt/link";
  std::filesystem::create_directory_symlink(box_ / "mnt/sub", box_ / "mnt/link");
  expect_untracked("is a link");
  settings_.change_tracking.clones = box_ / "mnt/a/b/c";
  expect_untracked("cannot be made");
  settings_.change_tracking.clones = ".cairn-clones";
  expect_fall_back("no reference snapshot");
}

TEST_F(TrackingFallBack, ALinkToAnImageElsewhere) {
  std::filesystem::create_symlink(image_, box_ / "link.img");
  settings_.machines["web"].disks[0].image = box_ / "link.img";
  expect_tracked(0);
  EXPECT_FALSE(std::filesystem::exists(box_ / ".cairn-clones"));
}

TEST_F(TrackingFallBack, AFileSystemThatIsNearlyFull) {
  ASSERT_EQ(run({"sh", "-c",
                 "fallocate -l $(($(stat -f -c '%a * %S' " + (box_ / "mnt").string() + ") - 20971520)) " +
                     (box_ / "mnt/ballast").string()})
                .status,
            0);
  const json row = backed_up();
  EXPECT_EQ(row["how"], "reflink clone");
  EXPECT_THAT(note_of(row), HasSubstr("less than 5 %"));
  EXPECT_THAT(clones(), IsEmpty());
  std::filesystem::remove(box_ / "mnt/ballast");
  expect_fall_back("no reference snapshot");
}

TEST_F(TrackingFallBack, TheStateDirectoryCannotBeWritten) {
  settings_.state_dir = box_ / "no/such/place";
  const json row = backed_up();
  EXPECT_THAT(note_of(row), HasSubstr("no records of clones can be kept"));
  EXPECT_THAT(warnings_, IsEmpty());
}

class Untrackable : public TrackedMachine {};

TEST_F(Untrackable, AFileSystemWithoutReflinks) {
  if (!mount_file_system("ext4")) GTEST_SKIP() << why_skipped_;
  write(0, random_bytes(kSize, 1));
  const json row = backed_up();
  EXPECT_EQ(row["how"], "file");
  EXPECT_THAT(note_of(row), HasSubstr("no clone: the file system has no reflinks"));
  EXPECT_FALSE(std::filesystem::exists(box_ / "mnt/.cairn-clones"));
  EXPECT_EQ(why_no_clones(image_, box_ / "mnt/.cairn-clones"),
            "it lies neither on XFS nor on btrfs, the file systems with reflinks");
}

TEST_F(Untrackable, AnXfsThatWasMadeWithoutReflinks) {
  if (!is_root() || !have_program("mkfs.xfs")) GTEST_SKIP() << "needs root and mkfs.xfs";
  mounted_ = std::make_unique<MountedFileSystem>(
      box_ / "old-system", 400 * kMiB, std::vector<std::string>{"mkfs.xfs", "-q", "-m", "reflink=0"}, box_ / "old");
  if (!mounted_->ok()) GTEST_SKIP() << mounted_->reason();
  write_at(box_ / "old/disk.img", 0, random_bytes(kMiB, 1));
  EXPECT_EQ(why_no_clones(box_ / "old/disk.img", box_ / "old/.cairn-clones"),
            "its XFS was made without reflinks (mkfs.xfs -m reflink=1)");
  EXPECT_EQ(why_no_clones(box_ / "missing", box_ / "old/.cairn-clones"),
            "the image cannot be read: No such file or directory");
}

TEST_F(Untrackable, ABlockDevice) {
  if (!mount_file_system("xfs")) GTEST_SKIP() << why_skipped_;
  write(0, random_bytes(kSize, 1));
  const LoopDevice loop(image_);
  if (loop.name().empty()) GTEST_SKIP() << "no loop devices";
  settings_.machines["web"].disks[0].image = DiskSource(loop.name());
  const json row = back_up()["disks"][0];
  EXPECT_EQ(row["how"], "block device");
  EXPECT_THAT(note_of(row), HasSubstr("it is a block device, which cannot be cloned by reflinks"));
  EXPECT_EQ(why_no_clones(loop.name(), box_ / "clones"), "it is a block device, which cannot be cloned by reflinks");
}

}  // namespace
}  // namespace cairn::testing
