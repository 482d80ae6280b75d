// SPDX-License-Identifier: GPL-3.0-or-later
// Images on XFS and btrfs (cloned), on ext4 (not cloned), each made in a file and mounted for the test.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "fs/image/open_image.h"
#include "tests/support/sandbox.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

struct FileSystemKind {
  const char* name;
  std::vector<std::string> mkfs;
  bool reflinks;
};

void PrintTo(const FileSystemKind& kind, std::ostream* to) {
  *to << kind.name;
}

class OnFileSystem : public ::testing::TestWithParam<FileSystemKind> {
 protected:
  void SetUp() override {
    if (!is_root()) GTEST_SKIP() << "needs root to mount";
    if (!have_program(GetParam().mkfs.front())) GTEST_SKIP() << GetParam().mkfs.front() << " is not installed";
    mounted_ = std::make_unique<MountedFileSystem>(box_ / "file-system", 400 * kMiB, GetParam().mkfs, box_ / "mnt");
    if (!mounted_->ok()) GTEST_SKIP() << mounted_->reason();
    image_ = box_ / "mnt/disk.img";
  }
  std::unique_ptr<ImageReader> open(CloneMode mode = CloneMode::try_clone) const {
    auto reader = open_image(image_, mode);
    EXPECT_TRUE(reader) << reader.error().message();
    return reader ? std::move(*reader) : nullptr;
  }
  static Buffer read(ImageReader& reader) {
    Buffer bytes(reader.size());
    EXPECT_TRUE(reader.read(0, bytes));
    return bytes;
  }
  void expect_cloned(const ImageReader& reader) const {
    EXPECT_EQ(reader.how(), GetParam().reflinks ? "reflink clone" : "file");
    EXPECT_EQ(reader.note(), GetParam().reflinks ? "" : "no clone: the file system has no reflinks");
  }

  Sandbox box_;
  std::unique_ptr<MountedFileSystem> mounted_;
  std::filesystem::path image_;
};

TEST_P(OnFileSystem, AWriteAfterOpeningDoesNotShowInAClone) {
  const Buffer before(1 * kMiB, 0x11);
  write_at(image_, 0, before);  // not flushed: FICLONE must see it all the same
  const auto reader = open();
  expect_cloned(*reader);
  write_at(image_, 4096, Buffer(8192, 0x22));
  if (GetParam().reflinks) {
    EXPECT_TRUE(same_bytes(read(*reader), before));
    EXPECT_FALSE(*reader->changed_underneath());
    std::filesystem::remove(image_);
    EXPECT_TRUE(same_bytes(read(*reader), before));
  } else {
    EXPECT_FALSE(same_bytes(read(*reader), before));
    const auto change = *reader->changed_underneath();
    ASSERT_TRUE(change);
    EXPECT_EQ(change->kind, ImageChange::Kind::torn);
    EXPECT_EQ(change->words, "it was written to while it was read");
  }
}

TEST_P(OnFileSystem, AGuestThatWritesAllTheTimeCannotTearAClone) {
  if (!GetParam().reflinks) GTEST_SKIP() << "no reflinks";
  // The guest writes one generation after another over the whole disk, front to back: a state that once was has the
  // newer generation before the older one, and no more than two of them.
  constexpr std::size_t kSectors = 256;
  write_at(image_, 0, Buffer(kSectors * 4096, 0));
  std::atomic<bool> stop = false;
  std::thread guest([&] {
    const UniqueFd fd(::open(image_.c_str(), O_WRONLY | O_CLOEXEC));
    for (std::uint8_t generation = 1; !stop; ++generation) {
      const Buffer sector(4096, generation);
      for (std::size_t i = 0; i < kSectors && !stop; ++i)
        if (::pwrite(fd.get(), sector.data(), sector.size(), static_cast<off_t>(i * 4096)) != 4096) return;
    }
  });
  for (int round = 0; round < 20; ++round) {
    const auto reader = open();
    const Buffer bytes = read(*reader);
    EXPECT_TRUE(same_bytes(bytes, read(*reader)));
    std::size_t steps = 0;
    for (std::size_t i = 0; i < kSectors; ++i) {
      EXPECT_TRUE(same_bytes(ByteView(bytes).subspan(i * 4096, 4096), Buffer(4096, bytes[i * 4096])));
      if (i > 0 && bytes[i * 4096] != bytes[(i - 1) * 4096]) ++steps;
    }
    EXPECT_LE(steps, 1U);
  }
  stop = true;
  guest.join();
}

TEST_P(OnFileSystem, HolesStayHoles) {
  write_at(image_, 20 * kMiB, Buffer(64 * kKiB, 0x33));
  std::filesystem::resize_file(image_, 100 * kMiB + 7);
  const auto reader = open();
  EXPECT_EQ(reader->size(), 100 * kMiB + 7);
  std::uint64_t data = 0;
  for (std::uint64_t at = 0; at < reader->size();) {
    const auto extent = reader->extent_at(at);
    ASSERT_TRUE(extent);
    if (extent->kind == ExtentKind::data) data += extent->size;
    at += extent->size;
  }
  EXPECT_GE(data, 64 * kKiB);
  EXPECT_LE(data, 1 * kMiB);
}

TEST_P(OnFileSystem, NothingIsLeftBeside) {
  write_at(image_, 0, Buffer(4096, 1));
  const auto names = [&] {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(image_.parent_path())) ++count;
    return count;
  };
  const std::size_t before = names();
  {
    const auto reader = open();
    EXPECT_EQ(names(), before);
    EXPECT_EQ(::fcntl(reader->fd(), F_GETFL) & O_ACCMODE, O_RDONLY);
  }
  EXPECT_EQ(names(), before);
}

TEST_P(OnFileSystem, NoCloneIsMadeWhenNoneIsWanted) {
  write_at(image_, 0, Buffer(4096, 1));
  const auto reader = open(CloneMode::never);
  EXPECT_EQ(reader->how(), "file");
  EXPECT_EQ(reader->note(), "");
}

TEST_P(OnFileSystem, AnImageWithoutCopyOnWriteIsCloned) {
  if (std::string_view(GetParam().name) != "btrfs") GTEST_SKIP() << "only btrfs has such files";
  write_at(image_, 0, {});
  ASSERT_EQ(run({"chattr", "+C", image_.string()}).status, 0);
  write_at(image_, 0, Buffer(64 * kKiB, 0x44));
  const auto reader = open();
  expect_cloned(*reader);
  write_at(image_, 0, Buffer(4096, 0x55));
  EXPECT_TRUE(same_bytes(read(*reader), Buffer(64 * kKiB, 0x44)));
}

TEST_P(OnFileSystem, AReadOnlyMountIsReadWithoutAClone) {
  write_at(image_, 0, Buffer(4096, 1));
  ASSERT_EQ(run({"mount", "-o", "remount,ro", (box_ / "mnt").string()}).status, 0);
  const auto reader = open();
  EXPECT_EQ(reader->how(), "file");
  EXPECT_EQ(reader->note(), "no clone: the file system is mounted read-only");
  EXPECT_TRUE(same_bytes(read(*reader), Buffer(4096, 1)));
}

TEST_P(OnFileSystem, ALinkToAnImageElsewhereIsClonedWhereItLies) {
  write_at(image_, 0, Buffer(4096, 1));
  std::filesystem::create_symlink(image_, box_ / "link");
  auto reader = open_image(box_ / "link");
  ASSERT_TRUE(reader);
  expect_cloned(**reader);
}

INSTANTIATE_TEST_SUITE_P(Images, OnFileSystem,
                         ::testing::Values(FileSystemKind{"xfs", {"mkfs.xfs", "-q", "-f", "-m", "reflink=1"}, true},
                                           FileSystemKind{"btrfs", {"mkfs.btrfs", "-q", "-f"}, true},
                                           FileSystemKind{"ext4", {"mkfs.ext4", "-q", "-F"}, false}),
                         [](const auto& parameter) { return std::string(parameter.param.name); });

class OnLoopDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!is_root()) GTEST_SKIP() << "needs root for a loop device";
    image_ = box_.sparse_file("disk", 16 * kMiB);
    write_at(image_, 5000, Buffer(10000, 0x66));
    loop_ = std::make_unique<LoopDevice>(image_);
    if (loop_->name().empty()) GTEST_SKIP() << "no loop devices";
    auto reader = open_image(DiskSource(loop_->name()));
    ASSERT_TRUE(reader) << reader.error().message();
    reader_ = std::move(*reader);
  }
  Sandbox box_;
  std::filesystem::path image_;
  std::unique_ptr<LoopDevice> loop_;
  std::unique_ptr<ImageReader> reader_;
};

TEST_F(OnLoopDevice, ABlockDeviceIsReadAsItIs) {
  EXPECT_EQ(reader_->how(), "block device");
  EXPECT_EQ(reader_->size(), 16 * kMiB);
  const auto extent = reader_->extent_at(4096);
  ASSERT_TRUE(extent);
  EXPECT_EQ(extent->kind, ExtentKind::data);
  EXPECT_EQ(extent->size, 16 * kMiB - 4096);
  Buffer bytes(16 * kMiB);
  ASSERT_TRUE(reader_->read(0, bytes));
  EXPECT_TRUE(same_bytes(bytes, read_all(image_)));
  EXPECT_FALSE(*reader_->changed_underneath());
}

TEST_F(OnLoopDevice, AWriteToABlockDeviceIsSeen) {
  {
    const UniqueFd fd(::open(loop_->name().c_str(), O_WRONLY | O_CLOEXEC));
    const Buffer bytes(4096, 0x77);
    ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), 8192), 4096);
    ASSERT_EQ(::fsync(fd.get()), 0);
  }
  const auto words = reader_->changed_underneath();
  ASSERT_TRUE(words && *words);
  EXPECT_EQ((*words)->kind, ImageChange::Kind::torn);
  EXPECT_THAT((*words)->words, HasSubstr("it was written to while it was read"));
}

TEST_F(OnLoopDevice, AWriteThatStillWaitsInThePageCacheIsSeen) {
  // Held open: closing the last descriptor would flush it.
  const UniqueFd fd(::open(loop_->name().c_str(), O_RDWR | O_CLOEXEC));
  const Buffer bytes(4096, 0x77);
  ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), 8192), 4096);
  const auto words = reader_->changed_underneath();
  ASSERT_TRUE(words && *words);
  EXPECT_EQ((*words)->kind, ImageChange::Kind::torn);
  EXPECT_THAT((*words)->words, HasSubstr("it was written to while it was read"));
}

TEST(OnPartition, WritesToThePartitionAndPastItAreSeen) {
  if (!is_root()) GTEST_SKIP() << "needs root for a loop device";
  const Sandbox box;
  const auto image = box.sparse_file("disk", 16 * kMiB);
  const LoopDevice loop(image);
  if (loop.name().empty()) GTEST_SKIP() << "no loop devices";
  // Added by hand: not every kernel reads partition tables of loop devices.
  struct Partitions {
    explicit Partitions(std::string device) : device_(std::move(device)) {
      run({"addpart", device_, "1", "2048", "8192"});
      run({"addpart", device_, "2", "10240", "8192"});
    }
    ~Partitions() {
      run({"delpart", device_, "1"});
      run({"delpart", device_, "2"});
    }
    Partitions(const Partitions&) = delete;
    Partitions& operator=(const Partitions&) = delete;
    std::string device_;
  };
  const Partitions partitions(loop.name());
  // Where no udev makes device nodes for partitions, the test does.
  const auto node = [&](int number) {
    const std::string name = loop.name().substr(std::string("/dev/").size());
    std::ifstream file("/sys/block/" + name + "/" + name + "p" + std::to_string(number) + "/dev");
    unsigned major_number = 0;
    unsigned minor_number = 0;
    char colon = 0;
    file >> major_number >> colon >> minor_number;
    const std::string path = box / ("p" + std::to_string(number));
    if (!file || ::mknod(path.c_str(), S_IFBLK | 0600, makedev(major_number, minor_number)) != 0) return std::string();
    return ::access(path.c_str(), R_OK) == 0 ? path : std::string();
  };
  const std::string first = node(1);
  const std::string second = node(2);
  const UniqueFd usable(::open(first.c_str(), O_RDONLY | O_CLOEXEC));
  if (!usable) GTEST_SKIP() << "no partitions on loop devices";
  const auto change = [&](const std::string& device, std::uint64_t at) -> std::string {
    auto reader = open_image(DiskSource(first));
    if (!reader) return reader.error().message();
    EXPECT_EQ((*reader)->size(), 4 * kMiB);
    const UniqueFd fd(::open(device.c_str(), O_WRONLY | O_CLOEXEC));
    const Buffer bytes(4096, 0x77);
    EXPECT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(at)), 4096);
    EXPECT_EQ(::fsync(fd.get()), 0);
    const auto words = (*reader)->changed_underneath();
    return words && *words ? (*words)->words : std::string();
  };
  EXPECT_THAT(change(first, 0), HasSubstr("it was written to"));
  EXPECT_EQ(change(second, 0), "");
  EXPECT_THAT(change(loop.name(), 12 * kMiB), HasSubstr("directly"));
}

}  // namespace
}  // namespace cairn::testing
