// SPDX-License-Identifier: GPL-3.0-or-later
// What a backup does with its machine's guest when those who hold it do not live.
#include "daemon/backup/guest_session.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "config/base/unique_fd.h"
#include "daemon/queue/job.h"
#include "fs/guest/hold_record.h"
#include "tests/fs/guest/fake_guest.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class GuestSessionTest : public ::testing::Test {
 protected:
  GuestSessionTest() {
    machine_.name = "web";
    machine_.guest = guest_.settings();
    inputs_.place = {.notes = place_.path() / "guests", .program = GUEST_HELPER_PROGRAM};
  }
  [[nodiscard]] bool noted() const { return !HoldRecord::list(inputs_.place.notes)->empty(); }

  TemporaryDirectory place_;
  FakeGuest guest_{place_.path()};
  MachineSettings machine_;
  GuestInputs inputs_;
  JobContext job_;
};

TEST_F(GuestSessionTest, AHelperThatIsKilledWhileItHoldsTheGuestLeavesItFreeAndNothingClaimed) {
  GuestSession session(machine_, inputs_, job_);
  session.hold();
  ASSERT_TRUE(guest_.frozen());
  ASSERT_GT(guest_.helper(), 0);
  ASSERT_EQ(::kill(guest_.helper(), SIGKILL), 0);
  session.release();
  // Nobody has to wait for the next backup, or for the daemon's next start.
  EXPECT_TRUE(guest_.wait_until_free());
  EXPECT_FALSE(session.instant());
  EXPECT_THAT(job_.view().warnings, Contains(HasSubstr("guest-not-thawed")));
  for (const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
       noted() && std::chrono::steady_clock::now() < until;)
    ::usleep(2000);
  EXPECT_FALSE(noted());
}

TEST_F(GuestSessionTest, TheMonitorIsFreeWhileTheDisksAreRead) {
  GuestSession session(machine_, inputs_, job_);
  session.hold();
  session.release();
  ASSERT_TRUE(session.instant());
  EXPECT_EQ(session.instant()->consistency, Consistency::filesystem);
  EXPECT_TRUE(GuestClient::open("web", guest_.settings(), inputs_.place));
  const auto record = session.finish(Consistency::filesystem);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->held, "freeze");
  EXPECT_THAT(job_.view().warnings, IsEmpty());
}

// A slip in the socket's path must not make a guest that runs one that is off.
TEST_F(GuestSessionTest, AGuestWhoseImageAQemuHasIsNotOff) {
  const auto image = place_.path() / "disk.img";
  const UniqueFd qemu(::open(image.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  machine_.guest.monitor = place_.path() / "slip.sock";
  machine_.disks.push_back(DiskSettings{.name = "root", .image = image});
  const auto state = [&] {
    GuestSession session(machine_, inputs_, job_);
    session.hold();
    session.release();
    return session.finish(Consistency::crash)->state;
  };
  EXPECT_EQ(state(), "off");
  EXPECT_THAT(job_.view().warnings, IsEmpty());
  struct flock lock{.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1, .l_pid = 0};
  ASSERT_EQ(::fcntl(qemu.get(), F_OFD_SETLK, &lock), 0);
  EXPECT_EQ(state(), "unknown");
  EXPECT_THAT(job_.view().warnings, Contains(HasSubstr("locked as by a QEMU")));
}

TEST_F(GuestSessionTest, AScriptThatNobodyWasSeenToRunMakesNoPointOfApplications) {
  guest_.set([](FakeGuest::Manners& manners) {
    manners.has_hook = true;
    manners.agent_line = "qemu-ga";
  });
  inputs_.wanted = WantedConsistency::application;
  GuestSession session(machine_, inputs_, job_);
  session.hold();
  session.release();
  ASSERT_TRUE(session.instant());
  EXPECT_EQ(session.instant()->consistency, Consistency::filesystem);
  session.finish(Consistency::filesystem);
  EXPECT_THAT(job_.view().warnings, Contains(HasSubstr("less-consistent")));
}

}  // namespace
}  // namespace cairn
