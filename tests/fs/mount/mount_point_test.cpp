// SPDX-License-Identifier: GPL-3.0-or-later
// What is mounted where.
#include "fs/mount/mount_point.h"

#include <gmock/gmock.h>
#include <sys/sysmacros.h>

#include <cstdlib>
#include <fstream>

#include "fs/mount/session.h"

namespace cairn {
namespace {

namespace filesystem = std::filesystem;

class MountPoint : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (filesystem::temp_directory_path() / "cairn-mount-point-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = filesystem::canonical(pattern);
  }
  void TearDown() override { filesystem::remove_all(directory_); }
  filesystem::path directory_;
};

// A process may end between the opening and the reading of its files: that is no exception.
TEST(ProcText, WhatCannotBeReadIsEmpty) {
  EXPECT_EQ(proc_text("/proc/self/mem"), "") << "EIO at address 0";
  EXPECT_EQ(proc_text("/proc/self/no-such-file"), "");
  EXPECT_NE(proc_text("/proc/self/mountinfo"), "");
}

TEST(MountInfo, IsReadAsTheManualSays) {
  const auto mounts = parse_mountinfo(
      "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
      "48 26 0:44 / /srv/with\\040space\\134x ro,nosuid - fuse.cairn cairn ro,user_id=0\n"
      "49 26 0:45 / /many rw shared:1 master:2 propagate_from:3 - tmpfs tmpfs rw\n"
      "nonsense\n\n50 26 x:y / /bad rw - tmpfs tmpfs rw\n51 26 0:46 / /cut");
  ASSERT_EQ(mounts.size(), 3U);
  EXPECT_EQ(mounts[0].path, "/mnt2");
  EXPECT_EQ(mounts[0].type, "ext3");
  EXPECT_EQ(mounts[0].device, makedev(98, 0));
  EXPECT_EQ(mounts[1].path, "/srv/with space\\x");
  EXPECT_EQ(mounts[1].type, kMountType);
  EXPECT_EQ(mounts[2].type, "tmpfs");
}

TEST_F(MountPoint, MustExist) {
  const auto missing = prepare_mount_point(directory_ / "none");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::mount_point_missing);
}

TEST_F(MountPoint, MustBeADirectory) {
  std::ofstream(directory_ / "file") << "x";
  const auto file = prepare_mount_point(directory_ / "file");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::mount_point_missing);
}

TEST_F(MountPoint, MustBeEmpty) {
  EXPECT_TRUE(prepare_mount_point(directory_));
  std::ofstream(directory_ / "file") << "x";
  const auto full = prepare_mount_point(directory_);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::mount_point_not_empty);
  EXPECT_THAT(full.error().message(), testing::HasSubstr("file"));
}

TEST_F(MountPoint, PathsAreSettled) {
  filesystem::create_directory(directory_ / "real");
  filesystem::create_directory_symlink(directory_ / "real", directory_ / "link");
  EXPECT_EQ(settle_path(directory_ / "link"), directory_ / "real");
  EXPECT_EQ(settle_path((directory_ / "real").string() + "/"), directory_ / "real");
  EXPECT_EQ(settle_path(directory_ / "real" / ".." / "none"), directory_ / "none");
}

TEST_F(MountPoint, OnlyCairnsMountsAreUnmounted) {
  const auto nothing = unmount(directory_);
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::not_mounted);
  const auto proc = unmount("/proc");
  ASSERT_FALSE(proc);
  EXPECT_EQ(proc.error().code, ErrorCode::not_mounted);
}

}  // namespace
}  // namespace cairn
