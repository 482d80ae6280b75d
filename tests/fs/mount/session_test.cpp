// SPDX-License-Identifier: GPL-3.0-or-later
// Real mounts over real stores. They need /dev/fuse and root, and are skipped without.
#include "fs/mount/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <random>
#include <set>
#include <thread>

#include "config/base/log.h"
#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "fs/store/write/ingest.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"
#include "tests/fs/mount/session_fixture.h"
#include "tests/support/memory_image.h"
#include "tests/support/sandbox.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(Session, ShowsDisksAsTheyWereBackedUp) {
  MemoryImage image = small_image();
  const RecoveryPoint made = backup(image);
  mount();
  EXPECT_EQ(testing::read_all(disk()), image.content(0, image.size()));
  struct stat facts{};
  ASSERT_EQ(stat(disk().c_str(), &facts), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(facts.st_size), image.size());
  EXPECT_EQ(static_cast<std::uint64_t>(facts.st_blocks), (made.disks[0].map.data_bytes + 511) / 512);
  EXPECT_EQ(facts.st_mtime, test_time().time_since_epoch().count());
  EXPECT_EQ(facts.st_ctime, facts.st_mtime);
  EXPECT_EQ(facts.st_nlink, 1U);
  EXPECT_EQ(facts.st_mode & 07777U, 0400U);
  ASSERT_EQ(stat(point().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777U, 0500U);
  EXPECT_EQ(facts.st_nlink, 4U);
  EXPECT_EQ(filesystem::read_symlink(mount_ / "web-01" / "latest"), compact_time(test_time()));
  std::ifstream document(mount_ / "web-01" / "latest" / "recovery-point.json");
  EXPECT_EQ(nlohmann::json::parse(document), to_json(value_of(store_->points().load(made.name))));
  struct statvfs usage{};
  ASSERT_EQ(statvfs(mount_.c_str(), &usage), 0);
  EXPECT_NE(usage.f_flag & ST_RDONLY, 0U);
  EXPECT_GT(usage.f_blocks, 0U);
}

TEST_F(Session, ShowsDefinitionsAndHeaders) {
  MemoryImage image = small_image();
  {
    const auto writer = value_of(begin_writing(*store_, "test"));
    const MapRecord map = value_of(ingest_disk(*writer, image, {})).map;
    RecoveryPoint made;
    made.name = {"web-01", test_time()};
    made.definition = "<domain type='kvm'/>\n";
    made.disks.push_back({"root", map, {}, {{"root.luks2", map}}});
    expect_ok(writer->commit(made));
  }
  mount();
  EXPECT_EQ(as_text(testing::read_all(point() / "machine.xml")), "<domain type='kvm'/>\n");
  EXPECT_EQ(testing::read_all(point() / "headers" / "root.luks2"), image.content(0, image.size()));
}

TEST_F(Session, ToolsReadTheDisks) {
  MemoryImage image = small_image();
  backup(image);
  mount();
  const filesystem::path plain = sandbox_ / "plain";
  testing::write_at(plain, 0, image.content(0, image.size()));
  EXPECT_EQ(testing::run({"cmp", plain, disk()}).status, 0);
  const filesystem::path copy = sandbox_ / "copy";
  ASSERT_EQ(testing::run({"cp", "--sparse=always", disk(), copy}).status, 0);
  EXPECT_EQ(testing::run({"cmp", plain, copy}).status, 0);
  struct stat facts{};
  ASSERT_EQ(stat(copy.c_str(), &facts), 0);
  EXPECT_LT(facts.st_blocks, static_cast<blkcnt_t>(4 * kMiB / 512));
  for (const std::string flags : {"iflag=fullblock", "iflag=direct"}) {
    ASSERT_EQ(testing::run({"dd", "if=" + disk().string(), "of=" + copy.string(), "bs=1M", flags}).status, 0) << flags;
    EXPECT_EQ(testing::run({"cmp", plain, copy}).status, 0) << flags;
  }
}

TEST_F(Session, SeeksDataAndHolesInAHugeSparseDisk) {
  MemoryImage image(16 * kTiB);
  image.fill_random(5 * kTiB, 2 * kMinChunkSize, 1);
  backup(image);
  mount();
  const UniqueFd fd(open(disk().c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd);
  const auto data = static_cast<off_t>(5 * kTiB);
  const auto size = static_cast<off_t>(16 * kTiB);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_END), size);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_DATA), data);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_HOLE), 0);
  EXPECT_EQ(lseek(fd.get(), data + 1, SEEK_DATA), data + 1);
  EXPECT_EQ(lseek(fd.get(), data + 1, SEEK_HOLE), data + 2 * kMinChunkSize);
  EXPECT_EQ(lseek(fd.get(), size - 1, SEEK_HOLE), size - 1);
  EXPECT_EQ(lseek(fd.get(), data + 2 * kMinChunkSize, SEEK_DATA), -1);
  EXPECT_EQ(errno, ENXIO);
  EXPECT_EQ(lseek(fd.get(), size, SEEK_HOLE), -1);
  EXPECT_EQ(errno, ENXIO);
  char byte = 1;
  EXPECT_EQ(pread(fd.get(), &byte, 1, size - 1), 1);
  EXPECT_EQ(byte, 0);
  EXPECT_EQ(pread(fd.get(), &byte, 1, size), 0);
  EXPECT_EQ(pread(fd.get(), &byte, 1, size + 12345), 0);
}

TEST_F(Session, NothingCanBeWritten) {
  MemoryImage image = small_image();
  backup(image);
  mount();
  const std::string file = disk().string();
  const std::string other = (point() / "other").string();
  const auto refused = [](int outcome) { return outcome == -1 && errno == EROFS; };
  EXPECT_TRUE(refused(open(file.c_str(), O_RDWR | O_CLOEXEC)));
  EXPECT_TRUE(refused(open(file.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC)));
  EXPECT_TRUE(refused(open(other.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)));
  EXPECT_TRUE(refused(truncate(file.c_str(), 0)));
  EXPECT_TRUE(refused(unlink(file.c_str())));
  EXPECT_TRUE(refused(rmdir((point() / "disks").c_str())));
  EXPECT_TRUE(refused(mkdir(other.c_str(), 0700)));
  EXPECT_TRUE(refused(rename(file.c_str(), other.c_str())));
  EXPECT_TRUE(refused(link(file.c_str(), other.c_str())));
  EXPECT_TRUE(refused(symlink("x", other.c_str())));
  EXPECT_TRUE(refused(chmod(file.c_str(), 0600)));
  EXPECT_TRUE(refused(chown(file.c_str(), 1, 1)));
  EXPECT_TRUE(refused(utimensat(AT_FDCWD, file.c_str(), nullptr, 0)));
  EXPECT_TRUE(refused(access(file.c_str(), W_OK)));
  EXPECT_TRUE(refused(setxattr(file.c_str(), "user.x", "1", 1, 0)));
  EXPECT_EQ(getxattr(file.c_str(), "user.x", nullptr, 0), -1);
  EXPECT_EQ(errno, ENOTSUP);
  EXPECT_EQ(access(file.c_str(), R_OK), 0);

  // Past the kernel's own refusal, as a mount that is made writable would go.
  ASSERT_EQ(::mount(nullptr, mount_.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV, nullptr), 0);
  EXPECT_TRUE(refused(open(file.c_str(), O_RDWR | O_CLOEXEC)));
  EXPECT_TRUE(refused(unlink(file.c_str())));
  EXPECT_TRUE(refused(mkdir(other.c_str(), 0700)));
}

TEST_F(Session, ListsThousandsOfPoints) {
  constexpr int kPoints = 3000;
  {
    // Committing them one by one takes a minute; listing goes by the objects' names.
    MemoryImage image(0);
    backup(image, (kPoints - 1) * 60);
    const filesystem::path folder = place_.path() / "points";
    const std::string last = compact_time(test_time((kPoints - 1) * 60));
    std::vector<filesystem::path> objects;
    for (const auto& entry : filesystem::recursive_directory_iterator(folder))
      if (entry.path().filename().string().find(last) != std::string::npos) objects.push_back(entry.path());
    ASSERT_EQ(objects.size(), 1U);
    for (int i = 0; i < kPoints - 1; ++i) {
      std::string name = objects[0].filename().string();
      name.replace(name.find(last), last.size(), compact_time(test_time(i * 60)));
      filesystem::create_hard_link(objects[0], objects[0].parent_path() / name);
    }
  }
  mount();
  const auto names = names_in(mount_ / "web-01");
  EXPECT_EQ(names.size(), kPoints + 3U);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
  // seekdir(3) to where an entry was read goes on behind it.
  DIR* const open = opendir((mount_ / "web-01").c_str());
  ASSERT_NE(open, nullptr);
  std::string expected;
  long place = 0;
  for (int i = 0; i < 2500; ++i) {
    const dirent* const entry = readdir(open);
    ASSERT_NE(entry, nullptr);
    if (i == 1499) place = telldir(open);
    if (i == 1500) expected = entry->d_name;
  }
  seekdir(open, place);
  const dirent* const entry = readdir(open);
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->d_name, expected);
  closedir(open);
  struct stat facts{};
  ASSERT_EQ(stat((point(2999 * 60) / "disks" / "root.img").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_size, 0);
}

TEST_F(Session, PointsComeAndGoWithoutRemounting) {
  mount();
  EXPECT_EQ(names_in(mount_).size(), 2U);
  EXPECT_NE(access(point().c_str(), F_OK), 0);  // must not be remembered
  MemoryImage image = small_image();
  backup(image);
  EXPECT_TRUE(happens([&] { return access(disk().c_str(), R_OK) == 0; }));
  EXPECT_TRUE(
      happens([&] { return filesystem::read_symlink(mount_ / "web-01" / "latest") == compact_time(test_time()); }));

  image.fill_random(4096, 4096, 9);
  backup(image, 60);
  EXPECT_TRUE(
      happens([&] { return filesystem::read_symlink(mount_ / "web-01" / "latest") == compact_time(test_time(60)); }));
  EXPECT_EQ(testing::read_all(mount_ / "web-01" / "latest" / "disks" / "root.img"), image.content(0, image.size()));
  EXPECT_THAT(names_in(mount_ / "web-01"), Contains(compact_time(test_time())));

  const UniqueFd held(open(disk().c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(held);
  expect_ok(remove_point(*value_of(begin_writing(*store_, "test")), {"web-01", test_time()}));
  EXPECT_TRUE(happens([&] { return access(point().c_str(), F_OK) != 0 && errno == ENOENT; }));
  EXPECT_THAT(names_in(mount_ / "web-01"), Not(Contains(compact_time(test_time()))));
  Buffer bytes(4096);
  EXPECT_EQ(pread(held.get(), bytes.data(), bytes.size(), static_cast<off_t>(4 * kMiB)), 4096)
      << "an open file outlives its point";
  EXPECT_EQ(bytes, image.content(4 * kMiB, 4096));
  struct stat facts{};
  EXPECT_EQ(fstat(held.get(), &facts), 0);

  expect_ok(remove_point(*value_of(begin_writing(*store_, "test")), {"web-01", test_time(60)}));
  EXPECT_TRUE(happens([&] { return names_in(mount_).size() == 2; }));
  EXPECT_TRUE(happens([&] { return access((mount_ / "web-01").c_str(), F_OK) != 0; }));
}

TEST_F(Session, RefreshShowsNewPointsAtOnce) {
  mount([](MountOptions& options) { options.refresh = std::chrono::hours(1); });
  MemoryImage image = small_image();
  backup(image);
  session_->refresh();
  EXPECT_EQ(access(disk().c_str(), R_OK), 0);
  EXPECT_EQ(filesystem::read_symlink(mount_ / "web-01" / "latest"), compact_time(test_time()));
  backup(image, 60);
  session_->refresh();
  EXPECT_EQ(filesystem::read_symlink(mount_ / "web-01" / "latest"), compact_time(test_time(60)));
  expect_ok(remove_point(*value_of(begin_writing(*store_, "test")), {"web-01", test_time()}));
  session_->refresh();
  EXPECT_NE(access(point().c_str(), F_OK), 0);
}

TEST_F(Session, ADamagedChunkIsAnErrorForItselfAlone) {
  MemoryImage image(4 * kMiB);
  image.fill_random(0, 4 * kMiB, 5);
  backup(image);
  std::vector<filesystem::path> packs;
  for (const auto& entry : filesystem::recursive_directory_iterator(place_.path() / "packs"))
    if (entry.is_regular_file()) packs.push_back(entry.path());
  ASSERT_FALSE(packs.empty());
  std::ranges::sort(packs, std::greater{}, [](const auto& pack) { return filesystem::file_size(pack); });
  const std::uint64_t middle = filesystem::file_size(packs[0]) / 2;
  {
    std::fstream pack(packs[0], std::ios::in | std::ios::out | std::ios::binary);
    pack.seekg(static_cast<std::streamoff>(middle));
    const char byte = static_cast<char>(pack.get() ^ 1);
    pack.seekp(static_cast<std::streamoff>(middle));
    pack.put(byte);
  }
  std::string log;
  mount();
  redirect_log(&log);
  const Buffer expected = image.content(0, image.size());
  std::vector<std::uint64_t> failed;
  for (int round = 0; round < 2; ++round) {
    failed.clear();
    const UniqueFd fd(open(disk().c_str(), O_RDONLY | O_CLOEXEC));
    for (std::uint64_t at = 0; at < image.size(); at += 4096) {
      Buffer bytes(4096);
      const ssize_t got = pread(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
      if (got < 0) {
        EXPECT_EQ(errno, EIO);
        failed.push_back(at);
      } else {
        ASSERT_EQ(got, 4096);
        EXPECT_TRUE(testing::same_bytes(bytes, ByteView(expected).subspan(at, 4096))) << at;
      }
    }
  }
  ASSERT_EQ(failed.size(), kMinChunkSize / 4096);
  const std::uint64_t bad = failed.front();
  EXPECT_EQ(bad % kMinChunkSize, 0U);
  EXPECT_EQ(failed.back(), bad + kMinChunkSize - 4096);

  // A reader of the whole gets all that is good up to the damage.
  const UniqueFd fd(open(disk().c_str(), O_RDONLY | O_CLOEXEC));
  Buffer whole(image.size());
  const ssize_t got = pread(fd.get(), whole.data(), whole.size(), 0);
  // Chunks lie in the pack in the order in which they were ready: it may be the first that is damaged.
  if (bad == 0)
    EXPECT_TRUE(got == -1 && errno == EIO) << got;
  else
    EXPECT_EQ(got, static_cast<ssize_t>(bad));
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_END), static_cast<off_t>(image.size())) << "the size must not suffer";

  redirect_log(nullptr);
  EXPECT_THAT(log,
              HasSubstr("read-failed web-01@" + compact_time(test_time()) + "/root offset=" + std::to_string(bad)));
  EXPECT_EQ(log.find("read-failed"), log.rfind("read-failed")) << "one line a chunk\n" << log;
}

TEST_F(Session, ADamagedPointIsListedAndCannotBeEntered) {
  MemoryImage image = small_image();
  backup(image);
  backup(image, 60);
  for (const auto& entry : filesystem::recursive_directory_iterator(place_.path() / "points"))
    if (entry.path().filename().string().find(compact_time(test_time())) != std::string::npos)
      testing::write_at(entry.path(), filesystem::file_size(entry.path()) / 2, as_bytes("damage"));
  std::string log;
  mount();
  redirect_log(&log);
  EXPECT_THAT(names_in(mount_ / "web-01"), Contains(compact_time(test_time())));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(access(disk().c_str(), F_OK), -1);
    EXPECT_EQ(errno, EIO);
    EXPECT_EQ(opendir(point().c_str()), nullptr);
    EXPECT_EQ(errno, EIO);
  }
  EXPECT_EQ(testing::read_all(disk(60)), image.content(0, image.size()));
  redirect_log(nullptr);
  EXPECT_THAT(log, HasSubstr("point-unreadable"));
  EXPECT_EQ(log.find("point-unreadable"), log.rfind("point-unreadable")) << log;
}

TEST_F(Session, ManyReadersAtOnceGetTheRightBytes) {
  MemoryImage image(24 * kMiB);
  image.fill_random(0, 20 * kMiB, 1);
  backup(image);
  const Buffer expected = image.content(0, image.size());
  mount([](MountOptions& options) { options.cache_bytes = 2 * kMiB; });
  std::atomic<int> wrong = 0;
  std::vector<std::thread> readers;
  for (unsigned seed = 0; seed < 6; ++seed)
    readers.emplace_back([&, seed] {
      // Half of them around the kernel's cache, so that our own is what is tried.
      const UniqueFd fd(open(disk().c_str(), O_RDONLY | O_CLOEXEC | (seed % 2 == 0 ? O_DIRECT : 0)));
      std::mt19937_64 random(seed);
      const std::unique_ptr<void, decltype(&free)> memory(aligned_alloc(4096, kMiB), free);
      auto* const bytes = static_cast<std::uint8_t*>(memory.get());
      for (int i = 0; i < 150; ++i) {
        const std::uint64_t at =
            seed < 2 ? static_cast<std::uint64_t>(i) * kMiB / 8 : random() % (23 * kMiB / 4096) * 4096;
        const std::size_t size = i % 3 == 0 ? kMiB : 8192;
        const ssize_t got = pread(fd.get(), bytes, size, static_cast<off_t>(at));
        if (got != static_cast<ssize_t>(size) ||
            !testing::same_bytes({bytes, size}, ByteView(expected).subspan(at, size)))
          ++wrong;
      }
    });
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace cairn
