// SPDX-License-Identifier: GPL-3.0-or-later
// Change tracking on real file systems: what guests and administrators do to an image, and that the next point has the
// image's bytes while little more than what changed was read.
#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "tests/daemon/backup/tracked_machine.h"

namespace cairn::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::size_t kSize = 16 * kMiB;

class OnReflinks : public TrackedMachine, public ::testing::WithParamInterface<std::string> {
 protected:
  void SetUp() override {
    if (!mount_file_system(GetParam())) GTEST_SKIP() << why_skipped_;
  }
  [[nodiscard]] bool on_btrfs() const { return GetParam() == "btrfs"; }
  void make_image(std::size_t size = kSize, std::uint64_t seed = 1) { write(0, random_bytes(size, seed)); }
  // The first backup of a new image, and a second that shows that nothing is left to read.
  void begin() {
    const json first = backed_up();
    EXPECT_EQ(note_of(first), "read whole: there is no reference snapshot of an earlier backup yet");
    expect_read(0);
  }
  // The next backup reads what changed, at most `bytes`.
  void expect_read(std::uint64_t bytes) {
    const json row = backed_up();
    EXPECT_TRUE(only_changes(row)) << row;
    EXPECT_LE(read_of(row), bytes) << row;
    EXPECT_THAT(warnings_, IsEmpty());
    expect_kept();
  }
  // The next backup reads all, and says why; the one after reads nothing again.
  void expect_fall_back(const std::string& why) {
    const json row = backed_up();
    EXPECT_EQ(row["how"], "reflink clone");
    EXPECT_THAT(note_of(row), HasSubstr(why));
    EXPECT_GE(read_of(row), kSize);
    expect_kept();
    expect_read(0);
  }
  // One clone, and it has the point's bytes.
  void expect_kept() {
    ASSERT_EQ(clones().size(), 1U);
    EXPECT_EQ(clones()[0], record().clone.path);
    EXPECT_TRUE(point_equals(clones()[0]));
  }
};

TEST_P(OnReflinks, AWriteOf4KiBReadsItsChunk) {
  make_image();
  begin();
  write(5 * kMiB + 8192, random_bytes(4096, 2));
  expect_read(kChunk);
  write(9 * kMiB - 4096, random_bytes(8192, 3));  // across two chunks
  expect_read(2 * kChunk);
  expect_read(0);
}

TEST_P(OnReflinks, AWriteThatChangesNothingIsReadAndNotStored) {
  make_image();
  begin();
  write(0, ByteView(read_all(image_)).first(kChunk));
  const json row = backed_up();
  EXPECT_EQ(read_of(row), kChunk);
  EXPECT_EQ(row["new_bytes"], 0);
}

TEST_P(OnReflinks, Truncation) {
  make_image();
  begin();
  std::filesystem::resize_file(image_, 10 * kMiB + 1000);
  expect_read(kChunk);
  std::filesystem::resize_file(image_, 4 * kMiB);
  expect_read(0);
  // Cut off and grown again between two backups: zeros.
  std::filesystem::resize_file(image_, 2 * kMiB + 100);
  std::filesystem::resize_file(image_, 4 * kMiB);
  expect_read(2 * kChunk);
  std::filesystem::resize_file(image_, 0);
  const json row = backed_up();
  EXPECT_EQ(read_of(row), 0U);
  make_image();
  expect_read(kSize);
}

TEST_P(OnReflinks, Growth) {
  make_image(3 * kMiB + 777);
  begin();
  std::filesystem::resize_file(image_, 80 * kMiB + 5);  // beyond a leaf of the map
  expect_read(kChunk);
  write(79 * kMiB, random_bytes(4096, 4));
  expect_read(kChunk);
  std::filesystem::resize_file(image_, 70ULL * kGiB);  // beyond a node of nodes
  expect_read(kChunk);
}

TEST_P(OnReflinks, HolesAreNotRead) {
  make_image();
  begin();
  ASSERT_TRUE(allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * kMiB, 2 * kMiB));
  expect_read(0);
  ASSERT_TRUE(allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8 * kMiB + 4096, 4096));
  expect_read(kChunk);
  ASSERT_TRUE(allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 9 * kMiB + 100, 50));  // less than a block
  expect_read(kChunk);
  write(5 * kMiB, random_bytes(4096, 5));  // filled again
  expect_read(kChunk);
}

TEST_P(OnReflinks, Preallocation) {
  make_image();
  begin();
  ASSERT_TRUE(allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * kMiB, 2 * kMiB));
  ASSERT_TRUE(allocate(0, 4 * kMiB, 2 * kMiB));
  backed_up();
  ASSERT_TRUE(allocate(FALLOC_FL_KEEP_SIZE, kSize, 8 * kMiB));  // past the end
  backed_up();
  ASSERT_TRUE(allocate(0, kSize, 4 * kMiB));  // the file grows over preallocated blocks
  backed_up();
  // Written now, where the blocks were before: the place alone would not tell.
  write(4 * kMiB + 65536, random_bytes(65536, 6));
  write(kSize + 65536, random_bytes(65536, 7));
  expect_read(4 * kChunk);
  write(4 * kMiB + 3 * 65536 + 4096, random_bytes(4096, 8));
  expect_read(2 * kChunk);
}

TEST_P(OnReflinks, ZeroedRanges) {
  make_image();
  begin();
  if (!allocate(FALLOC_FL_ZERO_RANGE, 6 * kMiB, 1 * kMiB)) GTEST_SKIP() << "no FALLOC_FL_ZERO_RANGE";
  expect_read(1 * kMiB);
  ASSERT_TRUE(allocate(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 10 * kMiB + 100, 5000));
  expect_read(2 * kChunk);
  write(6 * kMiB + 4096, random_bytes(4096, 9));
  expect_read(2 * kChunk);
}

TEST_P(OnReflinks, RangesThatAreCutOutOrInserted) {
  make_image();
  begin();
  if (!allocate(FALLOC_FL_COLLAPSE_RANGE, 4 * kMiB, 1 * kMiB)) GTEST_SKIP() << "no FALLOC_FL_COLLAPSE_RANGE";
  expect_read(11 * kMiB);
  ASSERT_TRUE(allocate(FALLOC_FL_INSERT_RANGE, 8 * kMiB, 2 * kMiB));
  expect_read(9 * kMiB);
}

TEST_P(OnReflinks, DiscardThroughALoopDevice) {
  make_image();
  begin();
  {
    const LoopDevice loop(image_);
    if (loop.name().empty()) GTEST_SKIP() << "no loop devices";
    ASSERT_EQ(run({"blkdiscard", "-f", "-o", "4194304", "-l", "3145728", loop.name()}).status, 0);
    expect_read(0);
    const UniqueFd fd(::open(loop.name().c_str(), O_RDWR | O_CLOEXEC));
    const Buffer bytes = random_bytes(4096, 10);
    ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), 5 * kMiB), 4096);
    ASSERT_EQ(::fsync(fd.get()), 0);
    expect_read(kChunk);
  }
}

TEST_P(OnReflinks, ReflinksIntoTheImage) {
  make_image();
  write_at(box_ / "mnt/other", 0, random_bytes(4 * kMiB, 11));
  begin();
  ASSERT_TRUE(reflink(box_ / "mnt/other", 1 * kMiB, 512 * kKiB, 3 * kMiB));
  expect_read(512 * kKiB);
  ASSERT_TRUE(reflink(image_, 12 * kMiB, 256 * kKiB, 1 * kMiB + 4096));  // from itself, elsewhere
  expect_read(256 * kKiB + 2 * kChunk);
  // Back from the reference snapshot: the old place again, and so what is there is as it was.
  write(7 * kMiB, random_bytes(kMiB, 12));
  ASSERT_TRUE(reflink(clones()[0], 7 * kMiB, kMiB, 7 * kMiB));
  expect_read(0);
  // The blocks of two places change sides.
  write_at(box_ / "mnt/copy", 0, {});
  ASSERT_EQ(run({"cp", "--reflink=always", image_.string(), (box_ / "mnt/copy").string()}).status, 0);
  ASSERT_TRUE(reflink(box_ / "mnt/copy", 2 * kMiB, 128 * kKiB, 6 * kMiB));
  ASSERT_TRUE(reflink(box_ / "mnt/copy", 6 * kMiB, 128 * kKiB, 2 * kMiB));
  expect_read(256 * kKiB);
}

TEST_P(OnReflinks, DirectAndMappedWrites) {
  make_image();
  begin();
  void* memory = nullptr;
  ASSERT_EQ(::posix_memalign(&memory, 4096, 8192), 0);
  const std::unique_ptr<void, decltype(&std::free)> owner(memory, &std::free);
  std::memset(memory, 0x5A, 8192);
  const UniqueFd fd(::open(image_.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  ASSERT_EQ(::pwrite(fd.get(), memory, 8192, 3 * kMiB), 8192);
  expect_read(kChunk);
  ASSERT_EQ(::pwrite(fd.get(), memory, 4096, 5 * kMiB + 65536), 4096);
  write(5 * kMiB + 4096, random_bytes(100, 13));
  expect_read(2 * kChunk);
}

TEST_P(OnReflinks, CompressedFilesAreReadAndRight) {
  if (!on_btrfs()) GTEST_SKIP() << "only btrfs compresses";
  write(0, {});
  ASSERT_EQ(run({"btrfs", "property", "set", image_.string(), "compression", "zstd"}).status, 0);
  Buffer text(8 * kMiB);
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::uint8_t>("Cairn keeps "[i % 12] + i / 65536);
  write(0, text);
  write(8 * kMiB, random_bytes(8 * kMiB, 14));
  ASSERT_EQ(run({"sync", "-f", image_.string()}).status, 0);
  backed_up();
  // What is compressed is doubtful, the rest is not.
  json row = backed_up();
  EXPECT_TRUE(only_changes(row)) << row;
  EXPECT_GE(read_of(row), 7 * kMiB);
  EXPECT_LE(read_of(row), 9 * kMiB);
  // The same length in the same compressed extent's place.
  for (int round = 0; round < 4; ++round) {
    write(static_cast<std::uint64_t>(round) * 128 * kKiB, Buffer(65536, static_cast<std::uint8_t>(round)));
    backed_up();
  }
}

TEST_P(OnReflinks, FilesWithoutCopyOnWrite) {
  if (!on_btrfs()) GTEST_SKIP() << "only btrfs has such files";
  write(0, {});
  ASSERT_EQ(run({"chattr", "+C", image_.string()}).status, 0);
  make_image();
  begin();
  for (std::uint64_t round = 0; round < 6; ++round) {
    // In place, would it be, if no clone held the blocks; and again in place what the last round wrote.
    write(4 * kMiB + 8192, random_bytes(4096, 100 + round));
    write(round * 2 * kMiB + 100, random_bytes(10, 200 + round));
    expect_read(4 * kChunk);
  }
  // Between two writes without a backup the second is really in place.
  write(4 * kMiB + 8192, random_bytes(4096, 300));
  write(4 * kMiB + 8192, random_bytes(4096, 301));
  expect_read(kChunk);
}

TEST_P(OnReflinks, AFolderWithoutCopyOnWriteAroundAnImageWithIt) {
  if (!on_btrfs()) GTEST_SKIP() << "only btrfs has such files";
  make_image();
  ASSERT_EQ(run({"chattr", "+C", (box_ / "mnt").string()}).status, 0);
  begin();
}

TEST_P(OnReflinks, Defragmentation) {
  make_image();
  for (std::uint64_t i = 0; i < 200; ++i) write(i * 80 * kKiB, random_bytes(4096, 400 + i));
  begin();
  const std::string image = image_.string();
  if (on_btrfs()) {
    ASSERT_EQ(run({"btrfs", "filesystem", "defragment", "-f", image}).status, 0);
  } else {
    if (!have_program("xfs_fsr")) GTEST_SKIP() << "xfs_fsr is not installed";
    run({"xfs_fsr", "-v", image});
  }
  expect_read(kSize);
  // The clone may be defragmented as well: it is then not the file that was kept, or has other places.
  if (on_btrfs())
    ASSERT_EQ(run({"btrfs", "filesystem", "defragment", "-f", clones()[0].string()}).status, 0);
  else
    run({"xfs_fsr", "-v", clones()[0].string()});
  const json row = backed_up();
  EXPECT_LE(read_of(row), kSize);
  expect_read(0);
}

TEST_P(OnReflinks, BalancingMovesExtentsUnderBothClones) {
  if (!on_btrfs()) GTEST_SKIP() << "only btrfs balances";
  make_image();
  begin();
  ASSERT_EQ(run({"btrfs", "balance", "start", "--full-balance", (box_ / "mnt").string()}).status, 0);
  write(3 * kMiB, random_bytes(4096, 15));
  const json row = backed_up();
  EXPECT_LE(read_of(row), kSize);
  expect_read(0);
  // Backups in the middle of it.
  std::atomic<bool> stop = false;
  std::thread balancer([&] {
    while (!stop) run({"btrfs", "balance", "start", "--full-balance", (box_ / "mnt").string()});
  });
  for (std::uint64_t round = 0; round < 12; ++round) {
    write(round * kMiB + 4096, random_bytes(4096, 500 + round));
    backed_up();
    EXPECT_TRUE(point_equals(record().clone.path));
  }
  stop = true;
  balancer.join();
}

TEST_P(OnReflinks, AGuestThatWritesAllTheTime) {
  make_image();
  begin();
  std::atomic<bool> stop = false;
  std::thread guest([&] {
    const UniqueFd fd(::open(image_.c_str(), O_WRONLY | O_CLOEXEC));
    std::mt19937_64 random(7);
    for (std::uint64_t n = 0; !stop; ++n) {
      const Buffer bytes = random_bytes(4096 * (1 + random() % 4), n);
      if (::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(random() % (kSize - 32768))) < 0) return;
    }
  });
  for (int round = 0; round < 15; ++round) {
    const json row = back_up()["disks"][0];
    EXPECT_EQ(row["how"], kChanges) << row;
    EXPECT_TRUE(point_equals(record().clone.path)) << "round " << round;
  }
  stop = true;
  guest.join();
  backed_up();
  expect_read(0);
}

TEST_P(OnReflinks, AnImageThatAnotherFileReplaced) {
  make_image();
  begin();
  write_at(box_ / "mnt/new", 0, random_bytes(kSize, 99));
  std::filesystem::rename(box_ / "mnt/new", image_);
  const json row = backed_up();
  EXPECT_EQ(read_of(row), kSize);
  expect_read(0);
  // A copy by reflinks is another file with the same blocks.
  ASSERT_EQ(run({"cp", "--reflink=always", image_.string(), (box_ / "mnt/new").string()}).status, 0);
  std::filesystem::rename(box_ / "mnt/new", image_);
  expect_read(0);
}

TEST_P(OnReflinks, ItOutlivesAMount) {
  make_image();
  begin();
  ASSERT_EQ(run({"umount", (box_ / "mnt").string()}).status, 0);
  // Another file system in between, so that the device's number is another one.
  const MountedFileSystem other(box_ / "other-system", 400 * kMiB, {"mkfs." + GetParam(), "-q"}, box_ / "mnt2");
  ASSERT_EQ(run({"mount", "-o", "loop", (box_ / "file-system").string(), (box_ / "mnt").string()}).status, 0);
  write(kMiB, random_bytes(4096, 16));
  expect_read(kChunk);
}

TEST_P(OnReflinks, ALargeSparseDiskCostsWhatChanged) {
  write(0, random_bytes(kMiB, 17));
  for (std::uint64_t i = 1; i < 8; ++i) write(i * 130 * kGiB, random_bytes(256 * kKiB, 17 + i));
  std::filesystem::resize_file(image_, kTiB);
  begin();
  write(520 * kGiB + 4096, random_bytes(4096, 30));
  write(700 * kGiB, random_bytes(4096, 31));
  const json row = backed_up();
  EXPECT_EQ(read_of(row), 2 * kChunk);
  EXPECT_EQ(row["carried_bytes"].get<std::uint64_t>(), kTiB - 2 * kChunk);
  // 2 chunks and the path above each: 2 leaves, 2 nodes, a root, of at most 32 KiB.
  EXPECT_LE(row["stored_bytes"].get<std::uint64_t>(), 2 * 4096 + 2 * kChunk + 5 * 33 * kKiB);
  EXPECT_LE(row["new_bytes"].get<std::uint64_t>(), 2 * kChunk);
}

TEST_P(OnReflinks, HundredsOfRandomOperations) {
  std::mt19937_64 random(seed());
  write_at(box_ / "mnt/other", 0, random_bytes(2 * kMiB, 40));
  make_image(8 * kMiB + 1234);
  backed_up();
  std::uint64_t tracked = 0;
  std::uint64_t read = 0;
  for (int step = 0; step < 300; ++step) {
    const std::uint64_t size = std::filesystem::file_size(image_);
    const std::uint64_t at = size == 0 ? 0 : random() % size;
    const std::uint64_t block = at / 4096 * 4096;
    const std::uint64_t length = 1 + random() % (random() % 4 == 0 ? 600'000 : 20'000);
    const std::uint64_t blocks = (length + 4095) / 4096 * 4096;
    std::string what;
    switch (random() % 12) {
      case 0:
      case 1:
      case 2:
        what = "write";
        write(at, random_bytes(length, random()));
        break;
      case 3:
        what = "write zeros";
        write(block, Buffer(blocks, 0));
        break;
      case 4:
        what = "truncate";
        if (size > 6 * kMiB) std::filesystem::resize_file(image_, size - random() % (2 * kMiB));
        break;
      case 5:
        what = "grow";
        if (size < 12 * kMiB) std::filesystem::resize_file(image_, size + random() % (2 * kMiB));
        break;
      case 6:
        what = "punch";
        static_cast<void>(allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, length));
        break;
      case 7:
        what = "allocate";
        static_cast<void>(allocate(random() % 2 == 0 ? 0 : FALLOC_FL_KEEP_SIZE, block, blocks));
        break;
      case 8:
        what = "zero range";
        static_cast<void>(allocate(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, at, length));
        break;
      case 9:
        what = "reflink from another file";
        static_cast<void>(reflink(box_ / "mnt/other", random() % 128 * 4096, 4096 * (1 + random() % 64), block));
        break;
      case 10:
        what = "reflink within";
        static_cast<void>(reflink(image_, random() % 1000 * 4096, 4096 * (1 + random() % 64), block));
        break;
      default:
        what = "sync";
        static_cast<void>(run({"sync", "-f", image_.string()}));
        break;
    }
    if (random() % 3 != 0) continue;
    SCOPED_TRACE(what + " at step " + std::to_string(step));
    const json row = back_up()["disks"][0];
    ASSERT_TRUE(point_equals(image_));
    ASSERT_TRUE(only_changes(row)) << row;
    read += read_of(row);
    tracked += row["carried_bytes"].get<std::uint64_t>();
  }
  EXPECT_THAT(warnings_, IsEmpty());
  EXPECT_LT(read, tracked / 4) << "what was read is small beside what was taken over";
  // And a full read finds no fault.
  read_all_ = true;
  backed_up();
  EXPECT_THAT(warnings_, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Tracking, OnReflinks, ::testing::Values("xfs", "btrfs"),
                         [](const auto& parameter) { return parameter.param; });

}  // namespace
}  // namespace cairn::testing
