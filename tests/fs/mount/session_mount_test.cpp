// SPDX-License-Identifier: GPL-3.0-or-later
// Who may look inside a mount, what is in its place before it, and how it ends.
#include "fs/mount/session.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>

#include "config/base/left_behind.h"
#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "fs/mount/mount_point.h"
#include "tests/fs/mount/session_fixture.h"
#include "tests/support/memory_image.h"
#include "tests/support/sandbox.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

TEST_F(Session, OthersMayLookInsideOnlyWhenAllowed) {
  if (!testing::have_program("setpriv")) GTEST_SKIP() << "setpriv is not installed";
  MemoryImage image = small_image();
  backup(image);
  ASSERT_EQ(chmod(sandbox_.path().c_str(), 0755), 0);
  const std::vector<std::string> as_nobody = {"setpriv",        "--reuid=65534", "--regid=65534",
                                              "--clear-groups", "cat",           disk().string()};
  mount();
  EXPECT_NE(testing::run(as_nobody).status, 0);
  mount([](MountOptions& options) { options.allow_other = true; });
  const auto allowed = testing::run(as_nobody);
  EXPECT_EQ(allowed.status, 0) << allowed.output.substr(0, 500);
  struct stat facts{};
  ASSERT_EQ(stat(disk().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777U, 0444U);
  ASSERT_EQ(stat(point().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777U, 0555U);
}

TEST_F(Session, TakesAwayTheDeadMountOfAKilledProcess) {
  MemoryImage image = small_image();
  backup(image);
  store_.reset();  // a forked process must not use its parent's
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto store = place_.open();
    MountOptions options;
    options.path = mount_;
    const auto session = MountSession::start(*store, options);
    (void)!write(ready[1], session ? "y" : "n", 1);
    while (true) pause();
  }
  char answer = 0;
  ASSERT_EQ(read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  close(ready[0]), close(ready[1]);
  {
    store_ = place_.open();
    MountOptions options;
    options.path = mount_;
    const auto second = MountSession::start(*store_, options);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::mount_point_busy);
  }
  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  struct statvfs facts{};
  ASSERT_EQ(statvfs(mount_.c_str(), &facts), -1);
  ASSERT_EQ(errno, ENOTCONN);
  mount();
  EXPECT_EQ(testing::read_all(disk()), image.content(0, image.size()));
}

TEST_F(Session, RefusesMountPointsThatAreInUse) {
  MountOptions options;
  options.path = sandbox_ / "none";
  EXPECT_EQ(MountSession::start(*store_, options).error().code, ErrorCode::mount_point_missing);
  options.path = mount_;
  std::ofstream(mount_ / "file") << "x";
  EXPECT_EQ(MountSession::start(*store_, options).error().code, ErrorCode::mount_point_not_empty);
  filesystem::remove(mount_ / "file");
  ASSERT_EQ(::mount("none", mount_.c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_EQ(MountSession::start(*store_, options).error().code, ErrorCode::mount_point_busy);
  EXPECT_EQ(unmount(mount_).error().code, ErrorCode::not_mounted) << "a tmpfs is not ours to unmount";
  ASSERT_EQ(umount2(mount_.c_str(), 0), 0);
}

TEST_F(Session, UnmountsFromOutsideUnlessFilesAreOpen) {
  MemoryImage image = small_image();
  backup(image);
  mount();
  {
    const UniqueFd held(open(disk().c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(held);
    const auto busy = unmount(mount_);
    ASSERT_FALSE(busy);
    EXPECT_EQ(busy.error().code, ErrorCode::mount_point_busy);
    EXPECT_FALSE(session_->ended());
  }
  // The kernel releases files after close(2) has returned.
  EXPECT_TRUE(happens([&] { return unmount(mount_).has_value(); }));
  session_->wait();
  EXPECT_TRUE(session_->ended());
  expect_ok(session_->stop());
}

TEST_F(Session, StopsWithFilesOpenAndIsSafeToCallTwice) {
  MemoryImage image = small_image();
  backup(image);
  mount();
  const UniqueFd held(open(disk().c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(held);
  expect_ok(session_->stop());
  EXPECT_TRUE(session_->ended());
  expect_ok(session_->stop());
  EXPECT_FALSE(value_of(mounted_at(settle_path(mount_))));
  char byte = 0;
  EXPECT_EQ(pread(held.get(), &byte, 1, 5 * kMiB), -1);
}

// A process of a mount namespace of its own, which keeps what is mounted when it begins; with a file of it open.
class OtherNamespace {
 public:
  explicit OtherNamespace(const filesystem::path& file) {
    int ready[2];
    EXPECT_EQ(pipe2(ready, O_CLOEXEC), 0);
    child_ = fork();
    if (child_ == 0) {
      const bool apart = unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
      const int held = file.empty() ? -1 : open(file.c_str(), O_RDONLY);
      (void)!write(ready[1], apart && (file.empty() || held >= 0) ? "y" : "n", 1);
      while (true) pause();
    }
    close(ready[1]);
    char answer = 0;
    EXPECT_EQ(read(ready[0], &answer, 1), 1);
    EXPECT_EQ(answer, 'y');
    close(ready[0]);
  }
  ~OtherNamespace() {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  OtherNamespace(const OtherNamespace&) = delete;
  OtherNamespace& operator=(const OtherNamespace&) = delete;
  [[nodiscard]] pid_t pid() const { return child_; }

 private:
  pid_t child_ = 0;
};

TEST_F(Session, StopsThoughAnotherMountNamespaceHoldsTheMount) {
  MemoryImage image = small_image();
  backup(image);
  mount();
  const OtherNamespace open_there(disk());
  const OtherNamespace mounted_there{{}};
  const auto began = std::chrono::steady_clock::now();
  expect_ok(session_->stop());
  EXPECT_TRUE(session_->ended());
  EXPECT_LT(std::chrono::steady_clock::now() - began, kLeaveAfter) << "nothing had to be left behind";
  EXPECT_FALSE(anything_left_behind());
}

TEST_F(Session, UnmountSaysWhoHoldsItInAnotherMountNamespace) {
  MemoryImage image = small_image();
  backup(image);
  mount();
  const OtherNamespace other(disk());
  const auto busy = unmount(mount_);
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().code, ErrorCode::mount_point_busy);
  EXPECT_NE(busy.error().because.find("pid " + std::to_string(other.pid())), std::string::npos) << busy.error().because;
  EXPECT_FALSE(session_->ended());
}

TEST_F(Session, StopsAfterALazyUnmountFromOutside) {
  MemoryImage image = small_image();
  backup(image);
  mount();
  const UniqueFd held(open(disk().c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(held);
  ASSERT_EQ(umount2(mount_.c_str(), MNT_DETACH), 0);
  char byte = 0;
  EXPECT_EQ(pread(held.get(), &byte, 1, 5 * kMiB), 1) << "an open file is served on";
  expect_ok(session_->stop());
}

TEST_F(Session, StopLeavesAnotherMountAtTheSamePlaceAlone) {
  mount();
  ASSERT_EQ(umount2(mount_.c_str(), 0), 0);
  session_->wait();
  ASSERT_EQ(::mount("none", mount_.c_str(), "tmpfs", 0, nullptr), 0);
  expect_ok(session_->stop());
  EXPECT_TRUE(value_of(mounted_at(settle_path(mount_))));
  ASSERT_EQ(umount2(mount_.c_str(), 0), 0);
}

}  // namespace
}  // namespace cairn
