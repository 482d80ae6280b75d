// SPDX-License-Identifier: GPL-3.0-or-later
// The fault programme's own machinery: calls of shared libraries are seen and fail as asked, and a cut disk has what
// was synced and nothing else.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <lmdb.h>
#include <unistd.h>

#include <algorithm>

#include "config/base/unique_fd.h"
#include "daemon/queue/journal.h"
#include "fs/file/folder.h"
#include "fs/io/local_backend.h"
#include "tests/faults/cut_disk.h"
#include "tests/faults/scene.h"
#include "tests/support/sandbox.h"

namespace cairn::faults {
namespace {

namespace fs = std::filesystem;

std::size_t count(const std::vector<Operation>& log, Change change) {
  return static_cast<std::size_t>(std::ranges::count(log, change, &Operation::change));
}

TEST(Interpose, SeesWhatLmdbWritesAndSyncs) {
  const TemporaryDirectory place;
  MDB_env* env = nullptr;
  ASSERT_EQ(mdb_env_create(&env), 0);
  Watch watch(place.path());
  ASSERT_EQ(mdb_env_open(env, place.path().c_str(), 0, 0600), 0);
  const std::size_t before = watch.position();
  MDB_txn* txn = nullptr;
  MDB_dbi table = 0;
  ASSERT_EQ(mdb_txn_begin(env, nullptr, 0, &txn), 0);
  ASSERT_EQ(mdb_dbi_open(txn, nullptr, 0, &table), 0);
  MDB_val key{3, const_cast<char*>("key")};
  MDB_val value{5, const_cast<char*>("value")};
  ASSERT_EQ(mdb_put(txn, table, &key, &value, 0), 0);
  ASSERT_EQ(mdb_txn_commit(txn), 0);
  mdb_env_close(env);
  auto log = watch.take_log();
  log.erase(log.begin(), log.begin() + static_cast<std::ptrdiff_t>(before));
  EXPECT_GE(count(log, Change::write), 2U);  // its page, and the meta page
  EXPECT_GE(count(log, Change::sync), 1U);
  EXPECT_TRUE(std::ranges::any_of(log, &Operation::durable));  // the meta page, through O_DSYNC
}

TEST(Interpose, SeesWhatSqliteWritesAndSyncs) {
  const TemporaryDirectory place;
  Watch watch(place.path());
  {
    const auto journal = value_of(Journal::open(place.path() / "journal.db"));
  }
  const auto log = watch.take_log();
  EXPECT_GE(count(log, Change::make_file), 1U);
  EXPECT_GE(count(log, Change::write), 1U);
  EXPECT_GE(count(log, Change::sync), 1U);
}

TEST(Interpose, SeesWhatTheStandardLibraryRemoves) {
  const TemporaryDirectory place;
  fs::create_directories(place.path() / "a" / "b");
  Watch watch(place.path());
  fs::create_directory(place.path() / "c");
  fs::remove_all(place.path() / "a");
  fs::remove(place.path() / "c");
  const auto log = watch.take_log();
  EXPECT_EQ(count(log, Change::make_folder), 1U);
  EXPECT_EQ(count(log, Change::remove), 3U);
}

TEST(Interpose, FailsTheCallThatWasChosen) {
  const TemporaryDirectory place;
  LocalBackend backend(place.path());
  const Buffer bytes(100, 1);
  Watch watch(place.path(), {Flavour::no_space, 1, false});
  EXPECT_FALSE(backend.put("a", bytes, IfExists::fail));  // the first makes tmp/, the second its file
  EXPECT_TRUE(watch.struck());
  EXPECT_TRUE(backend.put("a", bytes, IfExists::fail));
}

// Writes, tells, and shows what a cut with everything unsynced dropped leaves.
class Disk : public ::testing::Test {
 protected:
  fs::path at(const char* name) { return live_ / name; }
  fs::path after_cut(Watch& watch, Unsynced unsynced = Unsynced::dropped) {
    CutDisk disk(watch.start());
    for (const Operation& operation : watch.take_log()) disk.apply(operation);
    std::mt19937_64 random(1);
    disk.materialize(place_.path() / "cut", unsynced, random);
    return place_.path() / "cut";
  }
  static void write(const fs::path& file, std::string_view text, bool sync) {
    const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT, 0600));
    ASSERT_EQ(::pwrite(fd.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    if (sync) {
      ASSERT_EQ(::fsync(fd.get()), 0);
    }
  }
  static std::string read(const fs::path& file) {
    const Buffer bytes = cairn::testing::read_all(file);
    return {bytes.begin(), bytes.end()};
  }

  TemporaryDirectory place_;
  fs::path live_ = [this] {
    fs::create_directory(place_.path() / "live");
    return place_.path() / "live";
  }();
};

TEST_F(Disk, ForgetsANewFileWhoseFolderWasNotSynced) {
  Watch watch(live_);
  write(at("file"), "text", true);
  EXPECT_FALSE(fs::exists(after_cut(watch) / "file"));
}

TEST_F(Disk, HasAnEmptyFileWhenOnlyItsFolderWasSynced) {
  Watch watch(live_);
  write(at("file"), "text", false);
  expect_ok(value_of(Folder::open(live_)).sync());
  EXPECT_EQ(read(after_cut(watch) / "file"), "");
}

TEST_F(Disk, KeepsTheOldBytesUntilTheFileIsSynced) {
  write(at("file"), "before", true);
  Watch watch(live_);
  write(at("file"), "after!", false);
  EXPECT_EQ(read(after_cut(watch) / "file"), "before");
}

TEST_F(Disk, KeepsWhatWasPutThroughTheBackend) {
  LocalBackend backend(live_);
  Watch watch(live_);
  expect_ok(backend.put("packs/ab/cd", Buffer(3, 'x'), IfExists::fail));
  EXPECT_EQ(read(after_cut(watch) / "packs/ab/cd"), "xxx");
}

TEST_F(Disk, SyncsARenameTogetherWithBothItsFolders) {
  fs::create_directory(at("a"));
  fs::create_directory(at("b"));
  write(at("a/file"), "text", true);
  Watch watch(live_);
  fs::rename(at("a/file"), at("b/file"));
  expect_ok(value_of(Folder::open(at("b"))).sync());
  const fs::path cut = after_cut(watch);
  EXPECT_EQ(read(cut / "b/file"), "text");
  EXPECT_FALSE(fs::exists(cut / "a/file"));
}

}  // namespace
}  // namespace cairn::faults
