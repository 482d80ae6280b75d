// SPDX-License-Identifier: GPL-3.0-or-later
// A restore replaces no file that somebody writes to, or has locked as QEMU does.
#include "daemon/restore/image_in_use.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>

#include "config/base/unique_fd.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

class ImageInUse : public ::testing::Test {
 protected:
  ImageInUse() { std::ofstream(file_) << "a disk"; }
  [[nodiscard]] std::string refused() const {
    const auto checked = check_not_in_use(file_);
    if (checked) return {};
    EXPECT_EQ(checked.error().code, ErrorCode::image_in_use);
    return checked.error().because;
  }
  TemporaryDirectory directory_;
  const std::filesystem::path file_ = directory_.path() / "root.img";
};

TEST_F(ImageInUse, AFileThatNobodyHasIsFree) {
  EXPECT_EQ(refused(), "");
  EXPECT_TRUE(check_not_in_use(directory_.path() / "none"));
  EXPECT_TRUE(check_not_in_use(directory_.path()));
}

TEST_F(ImageInUse, AReaderIsNoHindrance) {
  const UniqueFd reader(open(file_.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(refused(), "");
}

TEST_F(ImageInUse, AWriterIs) {
  {
    const UniqueFd writer(open(file_.c_str(), O_RDWR | O_CLOEXEC));
    EXPECT_NE(refused().find("open for writing"), std::string::npos);
  }
  EXPECT_EQ(refused(), "");
}

TEST_F(ImageInUse, AMappingThatIsWrittenToIsAWriter) {
  UniqueFd writer(open(file_.c_str(), O_RDWR | O_CLOEXEC));
  void* const mapped = mmap(nullptr, 6, PROT_READ | PROT_WRITE, MAP_SHARED, writer.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  writer.reset();
  EXPECT_NE(refused(), "");
  ASSERT_EQ(munmap(mapped, 6), 0);
}

TEST_F(ImageInUse, TheLocksOfQemuAreSeenOfAnImageThatItOnlyReads) {
  const UniqueFd reader(open(file_.c_str(), O_RDONLY | O_CLOEXEC));
  for (const off_t byte : {100, 203}) {  // RAW_LOCK_PERM_BASE, RAW_LOCK_SHARED_BASE
    struct flock lock{};
    lock.l_type = F_RDLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = byte;
    lock.l_len = 1;
    ASSERT_EQ(fcntl(reader.get(), F_OFD_SETLK, &lock), 0);
    EXPECT_NE(refused().find("it is locked"), std::string::npos) << byte;
    lock.l_type = F_UNLCK;
    ASSERT_EQ(fcntl(reader.get(), F_OFD_SETLK, &lock), 0);
    EXPECT_EQ(refused(), "");
  }
}

TEST_F(ImageInUse, ALinkIsReplacedAndNotWhatItLeadsTo) {
  const UniqueFd writer(open(file_.c_str(), O_RDWR | O_CLOEXEC));
  std::filesystem::create_symlink(file_, directory_.path() / "link");
  EXPECT_TRUE(check_not_in_use(directory_.path() / "link"));
}

}  // namespace
}  // namespace cairn
