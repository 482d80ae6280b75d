// SPDX-License-Identifier: GPL-3.0-or-later
// Who uses a mount, as /proc tells it.
#include "fs/mount/mount_users.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "config/base/unique_fd.h"
#include "tests/support/sandbox.h"

namespace cairn {
namespace {

TEST(MountUsers, AProcessNamesItsMountsByNumber) {
  const char* text =
      "36 35 98:0 / /mnt rw - ext3 /dev/root rw\n"
      "37 36 0:52 / /points ro - fuse.cairn cairn ro\n"
      "a line of another kernel\n"
      "41 36 0:52 / /other\\040place ro - fuse.cairn cairn ro\n"
      "42 36 0:5 / /dev rw - devtmpfs dev rw";
  EXPECT_THAT(mounts_of_device(text, makedev(0, 52)), ::testing::ElementsAre("37", "41"));
  EXPECT_THAT(mounts_of_device(text, makedev(0, 5)), ::testing::ElementsAre("42"));
  EXPECT_THAT(mounts_of_device("", makedev(0, 5)), ::testing::IsEmpty());
}

TEST(MountUsers, NamesWhoHasAFileOpenAndWhoWorksThere) {
  if (geteuid() != 0) GTEST_SKIP() << "only root may mount here";
  const testing::Sandbox sandbox;
  const auto place = sandbox / "mnt";
  std::filesystem::create_directory(place);
  ASSERT_EQ(::mount("none", place.c_str(), "tmpfs", 0, nullptr), 0);
  struct stat facts{};
  ASSERT_EQ(stat(place.c_str(), &facts), 0);
  EXPECT_THAT(users_of_mount(facts.st_dev), ::testing::IsEmpty());
  EXPECT_EQ(in_words({}), "");
  {
    const UniqueFd held(::open((place / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const auto users = users_of_mount(facts.st_dev);
    ASSERT_EQ(users.size(), 1U);
    EXPECT_EQ(users[0].pid, getpid());
    EXPECT_EQ(users[0].what, (place / "file").string());
    EXPECT_THAT(in_words(users), ::testing::HasSubstr("in use by "));
    EXPECT_THAT(in_words(users), ::testing::HasSubstr("(pid " + std::to_string(getpid())));
  }
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(place);
  const auto users = users_of_mount(facts.st_dev);
  std::filesystem::current_path(before);
  ASSERT_EQ(users.size(), 1U);
  EXPECT_EQ(users[0].what, "its working directory");
  ASSERT_EQ(umount2(place.c_str(), 0), 0);
}

}  // namespace
}  // namespace cairn
