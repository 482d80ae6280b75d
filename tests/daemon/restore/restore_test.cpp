// SPDX-License-Identifier: GPL-3.0-or-later
// Restoring: the file that is made, and what is left when it fails.
#include "daemon/restore/restore.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "config/base/units.h"
#include "daemon/queue/job.h"
#include "daemon/restore/restore_target.h"
#include "fs/file/direct_io.h"
#include "fs/store/pack/pack.h"
#include "tests/support/memory_image.h"
#include "tests/support/sandbox.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using cairn::testing::RamFileSystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

std::vector<std::string> files_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  return names;
}

// A file of 3 blocks and 100 bytes: data, hole, data, data.
void write_and_publish(const fs::path& folder, bool directly) {
  constexpr std::uint64_t kSize = 3 * kDirectBlock + 100;
  BulkBuffer memory;
  const MutableBytes block = room_in(memory, 2 * kDirectBlock);
  const Folder to = value_of(open_restore_folder(folder));
  auto target = value_of(RestoreTarget::create(to, "root.img", kSize));
  std::ranges::fill(block, std::uint8_t{'a'});
  expect_ok(target.write(2 * kDirectBlock, block));
  expect_ok(target.write(0, block.first(kDirectBlock)));
  EXPECT_EQ(target.writes_directly(), directly);
  EXPECT_THAT(files_in(folder), IsEmpty());
  expect_ok(target.publish(IfExists::fail));
  std::ifstream file(folder / "root.img", std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(content,
            std::string(kDirectBlock, 'a') + std::string(kDirectBlock, '\0') + std::string(kDirectBlock + 100, 'a'));
  EXPECT_THAT(files_in(folder), ::testing::ElementsAre("root.img"));
}

TEST(RestoreTarget, WritesPastThePageCache) {
  const TemporaryDirectory directory;
  const UniqueFd probe(open(directory.path().c_str(), O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600));
  if (!probe) GTEST_SKIP() << "the file system has no O_TMPFILE with O_DIRECT";
  write_and_publish(directory.path(), true);
}

TEST(RestoreTarget, UsesThePageCacheWhereItMustNotBePassedBy) {
  const RamFileSystem mounted;
  if (!mounted.ok()) GTEST_SKIP() << mounted.reason();
  write_and_publish(mounted.path(), false);
}

TEST(RestoreTarget, IsGoneWhenItIsNotPublishedAndRefusesANameThatIsTaken) {
  const TemporaryDirectory directory;
  const Folder to = value_of(open_restore_folder(directory.path()));
  {
    const auto target = value_of(RestoreTarget::create(to, "root.img", kMiB));
  }
  EXPECT_THAT(files_in(directory.path()), IsEmpty());
  std::ofstream(directory.path() / "root.img") << "precious";
  auto target = value_of(RestoreTarget::create(to, "root.img", kMiB));
  const auto refused = target.publish(IfExists::fail);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::target_exists);
  EXPECT_EQ(fs::file_size(directory.path() / "root.img"), 8U);
  expect_ok(target.publish(IfExists::replace));
  EXPECT_EQ(fs::file_size(directory.path() / "root.img"), kMiB);
}

// Somebody else may rename a part of the way while a disk is written: it lands where the way led when it began, and
// nothing of the other place is replaced.
TEST(RestoreTarget, StaysBelowTheDirectoryThatWasOpened) {
  for (const IfExists if_exists : {IfExists::fail, IfExists::replace}) {
    const TemporaryDirectory place;
    fs::create_directories(place.path() / "theirs" / "restore");
    fs::create_directory(place.path() / "ours");
    std::ofstream(place.path() / "ours" / "root.img") << "precious";
    const Folder to = value_of(open_restore_folder(place.path() / "theirs" / "restore"));
    auto target = value_of(RestoreTarget::create(to, "root.img", kMiB));
    fs::rename(place.path() / "theirs" / "restore", place.path() / "theirs" / "away");
    fs::create_directory_symlink(place.path() / "ours", place.path() / "theirs" / "restore");
    expect_ok(target.publish(if_exists));
    EXPECT_EQ(fs::file_size(place.path() / "ours" / "root.img"), 8U);
    EXPECT_EQ(fs::file_size(place.path() / "theirs" / "away" / "root.img"), kMiB);
    EXPECT_THAT(files_in(place.path() / "theirs" / "away"), ::testing::ElementsAre("root.img"));
  }
}

TEST(RestoreTarget, ReplacesALinkAndNotWhatItLeadsTo) {
  const TemporaryDirectory place;
  std::ofstream(place.path() / "precious") << "precious";
  fs::create_directory(place.path() / "out");
  fs::create_symlink(place.path() / "precious", place.path() / "out" / "root.img");
  const Folder to = value_of(open_restore_folder(place.path() / "out"));
  EXPECT_EQ(check_restore_name(to, "root.img", IfExists::fail).error().code, ErrorCode::target_exists);
  expect_ok(check_restore_name(to, "root.img", IfExists::replace));
  expect_ok(value_of(RestoreTarget::create(to, "root.img", kMiB)).publish(IfExists::replace));
  EXPECT_EQ(fs::file_size(place.path() / "precious"), 8U);
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(place.path() / "out" / "root.img")));
}

TEST(RestoreTarget, FollowsOwnLinksAndRefusesThoseOfOthers) {
  const TemporaryDirectory place;
  fs::create_directories(place.path() / "real" / "out");
  fs::create_directory_symlink("real", place.path() / "link");
  const Folder to = value_of(open_restore_folder(place.path() / "link" / "out"));
  expect_ok(value_of(RestoreTarget::create(to, "root.img", kMiB)).publish(IfExists::fail));
  EXPECT_TRUE(fs::exists(place.path() / "real" / "out" / "root.img"));
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a link to another user";
  ASSERT_EQ(::lchown((place.path() / "link").c_str(), 65534, 65534), 0);
  const auto refused = open_restore_folder(place.path() / "link" / "out");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::wrong_file_type);
  EXPECT_THAT(refused.error().message(), ::testing::HasSubstr("link of user 65534"));
}

class RestoreTest : public ::testing::Test {
 protected:
  RestoreTest() : store_(place_.open()), image_(24 * kMiB + 777) {
    fs::create_directory(out());
    image_.fill_random(0, 3 * kMiB, 1);
    image_.fill_random(7 * kMiB + 1000, 12 * kMiB, 2);
    image_.fill_random(24 * kMiB, 777, 3);
  }
  [[nodiscard]] fs::path out() const { return place_.path().parent_path() / "out"; }
  RestoreTask back_up(int seconds = 0) {
    RestoreTask task;
    task.point = value_of(take_backup(*store_, image_, "vm", test_time(seconds))).name;
    task.to = out();
    return task;
  }
  void expect_restored(const fs::path& folder) const {
    const Buffer restored = cairn::testing::read_all(folder / "root.img");
    EXPECT_TRUE(cairn::testing::same_bytes(restored, image_.content(0, image_.size())));
  }
  TemporaryStore place_;
  std::unique_ptr<Store> store_;
  MemoryImage image_;
};

TEST_F(RestoreTest, AChangedDiskComesBackWholeAndSparse) {
  back_up();
  // Chunks here and there lie in another pack than their neighbours.
  for (unsigned i = 0; i < 40; ++i) image_.fill_random(8 * kMiB + i * 200'000, 4096, 100 + i);
  const RestoreTask task = back_up(1);
  JobContext job;
  value_of(run_restore(*store_, task, job));
  expect_restored(out());
  struct stat facts{};
  ASSERT_EQ(stat((out() / "root.img").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777U, 0600U);
  EXPECT_LE(static_cast<std::uint64_t>(facts.st_blocks) * 512, 16 * kMiB) << "15 MiB of it is data";
  EXPECT_EQ(job.view().done_bytes, job.view().total_bytes);
}

TEST_F(RestoreTest, CancellingWithRequestsUnderWayLeavesNothing) {
  const RestoreTask task = back_up();
  std::stop_source stop;
  // The first thread that has written its piece says stop; the others are in the middle of theirs.
  JobContext job(stop.get_token(), [&] { stop.request_stop(); });
  const auto done = run_restore(*store_, task, job);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::cancelled);
  EXPECT_THAT(files_in(out()), IsEmpty());
  EXPECT_LT(job.view().done_bytes, job.view().total_bytes);
}

TEST_F(RestoreTest, DamageIsReportedWithItsChunkAndLeavesNothing) {
  const RestoreTask task = back_up();
  const auto reader = store_->open_disk(value_of(store_->points().load(task.point)).disks[0].map, "vm/root");
  const auto names = value_of(reader->chunk_names(0, reader->chunk_count()));
  for (const auto& entry : fs::recursive_directory_iterator(place_.path() / "packs")) {
    if (!entry.is_regular_file()) continue;
    // Inside the third record of every pack.
    std::fstream pack(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    pack.seekp(kPackHeaderBytes + 2 * (kMinChunkSize + 16) + 50);
    pack << "damage";
  }
  const auto store = place_.open();
  JobContext job;
  const auto done = run_restore(*store, task, job);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::chunk_damaged);
  EXPECT_TRUE(std::ranges::any_of(names, [&](const ChunkName& name) {
    return !name.is_zero() && done.error().message().find(name.hex().substr(0, 16)) != std::string::npos;
  })) << done.error().message();
  EXPECT_THAT(files_in(out()), IsEmpty());
}

TEST_F(RestoreTest, ManyAtOnceDoNotDisturbEachOther) {
  const RestoreTask task = back_up();
  std::vector<std::jthread> threads;
  std::atomic<int> done = 0;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&, i] {
      RestoreTask own = task;
      own.to = out() / std::to_string(i);
      fs::create_directory(own.to);
      JobContext job;
      if (run_restore(*store_, own, job)) ++done;
    });
  threads.clear();
  EXPECT_EQ(done, 3);
  for (int i = 0; i < 3; ++i) expect_restored(out() / std::to_string(i));
}

}  // namespace
}  // namespace cairn
