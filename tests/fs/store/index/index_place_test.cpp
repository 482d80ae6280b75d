// SPDX-License-Identifier: GPL-3.0-or-later
// Whoever can write to the store cannot have LMDB, or a rebuild, read, make, overwrite or remove a file elsewhere.
#include "fs/store/index/index_place.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <lmdb.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "fs/store/index/index.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class IndexPlaceTest : public ::testing::Test {
 protected:
  IndexPlaceTest() {
    fs::create_directory(outside());
    std::ofstream(outside() / "canary") << "canary";
    expect_ok(Index::create(folder(), store_));
  }
  [[nodiscard]] fs::path folder() const { return directory_.path() / "index"; }
  [[nodiscard]] fs::path outside() const { return directory_.path() / "outside"; }
  void expect_outside_untouched() const {
    EXPECT_EQ(fs::file_size(outside() / "canary"), 6U);
    EXPECT_EQ(std::distance(fs::directory_iterator(outside()), {}), 1);
  }
  void replace_by_link(const fs::path& name, const fs::path& target) const {
    fs::remove_all(name);
    fs::create_symlink(target, name);
  }
  ErrorCode code_of_opening() const {
    const auto index = Index::open(folder(), store_);
    return index ? ErrorCode::internal : index.error().code;
  }

  const TemporaryDirectory directory_;
  const StoreId store_{1, 2, 3};
};

TEST_F(IndexPlaceTest, LmdbGetsTheFilesThatWereOpened) {
  auto place = value_of(IndexPlace::open(folder()));
  const std::string path = place.for_lmdb();
  struct stat through{};
  ASSERT_EQ(::stat((path + "/" + kIndexDataName).c_str(), &through), 0);
  EXPECT_EQ(through.st_ino, place.data().st_ino);
  if (path == folder()) GTEST_SKIP() << "no /proc, or no place for a directory of our own";
  // Swapped after the check: what was opened is what LMDB gets.
  replace_by_link(folder() / kIndexLockName, outside() / "made");
  replace_by_link(folder() / kIndexDataName, outside() / "canary");
  MDB_env* env = nullptr;
  ASSERT_EQ(mdb_env_create(&env), 0);
  mdb_env_set_maxdbs(env, 64);
  EXPECT_EQ(mdb_env_open(env, path.c_str(), MDB_NOTLS, 0600), 0);
  mdb_env_close(env);
  expect_outside_untouched();
}

TEST_F(IndexPlaceTest, ItsLinksGoWithIt) {
  std::string path;
  {
    auto place = value_of(IndexPlace::open(folder()));
    path = place.for_lmdb();
  }
  EXPECT_TRUE(path == folder() || !fs::exists(path)) << path;
}

TEST_F(IndexPlaceTest, FilesThatAreLinksAreNotFollowed) {
  replace_by_link(folder() / kIndexLockName, outside() / "canary");
  EXPECT_EQ(code_of_opening(), ErrorCode::index_damaged);
  replace_by_link(folder() / kIndexLockName, outside() / "made");
  EXPECT_EQ(code_of_opening(), ErrorCode::index_damaged);
  fs::remove(folder() / kIndexLockName);
  replace_by_link(folder() / kIndexDataName, outside() / "canary");
  const auto refused = Index::open(folder(), store_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("rebuild-index"));
  expect_outside_untouched();
}

TEST_F(IndexPlaceTest, AFolderThatIsALinkIsNotFollowed) {
  fs::rename(folder(), directory_.path() / "elsewhere");
  fs::create_directory_symlink(directory_.path() / "elsewhere", folder());
  EXPECT_EQ(code_of_opening(), ErrorCode::index_damaged);
  replace_by_link(folder(), outside());
  EXPECT_EQ(Index::create(folder(), store_).error().code, ErrorCode::wrong_file_type);
  expect_outside_untouched();
  expect_ok(remove_index(folder()));
  EXPECT_FALSE(fs::exists(fs::symlink_status(folder())));
  expect_outside_untouched();
}

TEST_F(IndexPlaceTest, APipeIsAnsweredAtOnce) {
  for (const char* name : {kIndexLockName, kIndexDataName}) {
    fs::remove(folder() / name);
    ASSERT_EQ(::mkfifo((folder() / name).c_str(), 0600), 0);
    EXPECT_EQ(code_of_opening(), ErrorCode::index_damaged) << name;
    fs::remove(folder() / name);
    EXPECT_EQ(code_of_opening(), name == std::string(kIndexLockName) ? ErrorCode::internal : ErrorCode::index_missing)
        << "a lock is made anew";
  }
}

TEST_F(IndexPlaceTest, ANewOneTakesThePlaceOfWhateverIsThere) {
  const fs::path fresh = directory_.path() / "index.new";
  for (int kind = 0; kind < 4; ++kind) {
    SCOPED_TRACE(kind);
    expect_ok(remove_index(folder()));
    if (kind == 1) fs::create_directory_symlink(outside(), folder());
    if (kind == 2) std::ofstream(folder()) << "a file";
    if (kind == 3) fs::create_directory(folder());
    expect_ok(Index::create(fresh, store_));
    expect_ok(put_index_in_place(fresh, folder()));
    EXPECT_EQ(code_of_opening(), ErrorCode::internal) << "it opens";
    expect_ok(remove_index(fresh));
    EXPECT_FALSE(fs::exists(fs::symlink_status(fresh)));
  }
  expect_outside_untouched();
}

}  // namespace
}  // namespace cairn
