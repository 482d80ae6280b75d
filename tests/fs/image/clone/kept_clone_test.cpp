// SPDX-License-Identifier: GPL-3.0-or-later
// The directory of an image may be somebody else's, who can put anything in the place of the clone folder: clones are
// neither read nor removed elsewhere.
#include "fs/image/clone/kept_clone.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class KeptCloneFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(folder());
    fs::permissions(folder(), fs::perms::owner_all);
    const UniqueFd fd(::open(folder().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!fd) GTEST_SKIP() << "the file system has no O_TMPFILE";
    ASSERT_EQ(::write(fd.get(), "clone", 5), 5);
    kept_ = value_of(keep_clone(fd.get(), folder(), "vm-root-1"));
  }
  [[nodiscard]] fs::path folder() const { return directory_.path() / ".cairn-clones"; }
  [[nodiscard]] fs::path away() const { return directory_.path() / "away"; }
  // The very folder, reached by a link.
  void put_a_link_there() const {
    fs::rename(folder(), away());
    fs::create_directory_symlink(away(), folder());
  }

  const TemporaryDirectory directory_;
  KeptClone kept_;
};

TEST_F(KeptCloneFolder, IsUsedWhenItIsOurs) {
  EXPECT_EQ(why_not_as_kept(kept_), std::nullopt);
  remove_other_clones(folder(), "vm-root-", kept_.path);
  EXPECT_TRUE(fs::exists(kept_.path));
  EXPECT_TRUE(remove_kept_clone(kept_));
  EXPECT_TRUE(remove_kept_clone(kept_)) << "it is gone";
  remove_clone_folder(folder());
  EXPECT_FALSE(fs::exists(folder()));
}

TEST_F(KeptCloneFolder, IsNotReachedThroughALink) {
  put_a_link_there();
  EXPECT_THAT(why_not_as_kept(kept_).value_or(""), HasSubstr("symbolic link"));
  EXPECT_FALSE(remove_kept_clone(kept_));
  remove_other_clones(folder(), "vm-root-", {});
  remove_clone_folder(folder());
  EXPECT_TRUE(fs::exists(away() / "vm-root-1"));
  EXPECT_TRUE(fs::is_symlink(folder()));
  const UniqueFd fd(::open(away().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  EXPECT_EQ(keep_clone(fd.get(), folder(), "vm-root-2").error().code, ErrorCode::clone_not_kept);
  EXPECT_FALSE(fs::exists(away() / "vm-root-2"));
}

TEST_F(KeptCloneFolder, ALinkOrAPipeInAClonesPlaceIsNone) {
  fs::rename(kept_.path, directory_.path() / "moved");
  fs::create_symlink(directory_.path() / "moved", kept_.path);
  EXPECT_THAT(why_not_as_kept(kept_).value_or(""), HasSubstr("symbolic link"));
  EXPECT_FALSE(remove_kept_clone(kept_));
  remove_other_clones(folder(), "vm-root-", {});
  EXPECT_FALSE(fs::is_symlink(kept_.path)) << "the link itself goes, as whatever else has such a name";
  ASSERT_EQ(::mkfifo(kept_.path.c_str(), 0600), 0);
  EXPECT_THAT(why_not_as_kept(kept_).value_or(""), HasSubstr("it is a pipe"));
  EXPECT_TRUE(fs::exists(directory_.path() / "moved"));
}

}  // namespace
}  // namespace cairn
