// SPDX-License-Identifier: GPL-3.0-or-later
// Files out of file systems that a guest wrote: detached headers on a plain partition of their own disk.
#include "crypto/volume/guest_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <random>

#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "crypto/helper_process.h"
#include "crypto/volume/detached_header.h"
#include "crypto/volume/fd_source.h"
#include "tests/crypto/volume/probe.h"
#include "tests/crypto/volume/unlocking.h"

namespace cairn::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint64_t kBootAt = kMiB;
constexpr std::uint64_t kBootSize = 40 * kMiB;
constexpr std::uint64_t kRootAt = kBootAt + kBootSize;
constexpr std::uint64_t kRootSize = 16 * kMiB;

Buffer noise(std::size_t size, unsigned seed) {
  std::mt19937_64 random(seed);
  Buffer bytes(size);
  for (std::size_t i = 0; i + 8 <= size; i += 8) put_le(MutableBytes(bytes).subspan(i), random());
  return bytes;
}

class GuestFile : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!have_program("sfdisk") || !have_program("mke2fs")) GTEST_SKIP() << "sfdisk or mke2fs is not installed";
    ASSERT_TRUE(helpers_can_run());
    std::filesystem::create_directories(tree_ / "luks" / "old");
    put_file("luks/header", noise(3 * kMiB + 17, 1));
    put_file("small", Buffer{1, 2, 3});
    std::filesystem::create_symlink("luks/header", tree_ / "link");
    std::filesystem::create_symlink("luks", tree_ / "way");
    const std::string table = "label: gpt\nstart=2048, size=40MiB\nsize=16MiB\n";
    ASSERT_EQ(run({"sfdisk", "-q", disk_.string()}, table).status, 0);
    write_at(disk_, kRootAt, noise(kRootSize, 2));
  }
  void put_file(const std::string& name, const Buffer& bytes) {
    std::ofstream(tree_ / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  // The tree, as a file system on partition 1. No mount.
  void make_boot(const std::string& type, std::vector<std::string> options = {}) {
    const auto part = box_.sparse_file("boot", kBootSize);
    options.insert(options.begin(), {"mke2fs", "-q", "-F", "-t", type, "-d", tree_.string()});
    options.push_back(part.string());
    const auto made = run(options);
    ASSERT_EQ(made.status, 0) << made.output;
    boot_ = read_all(part);
    write_at(disk_, kBootAt, boot_);
  }
  Result<Buffer> read(const std::string& place) {
    const UniqueFd fd(::open(disk_.c_str(), O_RDONLY | O_CLOEXEC));
    FdSource disk(fd.get(), std::filesystem::file_size(disk_), disk_.string());
    return read_guest_file(disk, parse_header_inside(place).value(), "web-01/root");
  }
  Error refused(const std::string& place) {
    auto result = read(place);
    EXPECT_FALSE(result) << "it was read";
    return result ? Error{} : result.error();
  }

  Sandbox box_;
  std::filesystem::path tree_ = box_ / "tree";
  std::filesystem::path disk_ = box_.sparse_file("disk", 60 * kMiB);
  Buffer boot_;
};

TEST_F(GuestFile, IsReadFromExt2To4) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> kinds = {
      {"ext2", {}}, {"ext2", {"-b", "1024"}}, {"ext3", {}}, {"ext4", {}}, {"ext4", {"-O", "inline_data,^64bit"}}};
  for (const auto& [type, options] : kinds) {
    SCOPED_TRACE(type);
    make_boot(type, options);
    const auto header = read("partition:1/luks/header");
    ASSERT_TRUE(header) << header.error().message();
    EXPECT_TRUE(*header == noise(3 * kMiB + 17, 1));
    EXPECT_EQ(read("partition:1/small").value(), (Buffer{1, 2, 3}));
  }
}

TEST_F(GuestFile, OfASparseFileTheHolesAreZeros) {
  put_file("luks/header", Buffer{9});
  std::filesystem::resize_file(tree_ / "luks/header", 16 * kMiB);
  make_boot("ext4");
  const Buffer header = read("partition:1/luks/header").value();
  ASSERT_EQ(header.size(), 16 * kMiB);
  EXPECT_EQ(header[0], 9);
  EXPECT_TRUE(is_all_zero(ByteView(header).subspan(1)));
}

TEST_F(GuestFile, WhatIsNotThereIsSaid) {
  make_boot("ext4");
  const Error partition = refused("partition:3/luks/header");
  EXPECT_EQ(partition.code, ErrorCode::header_partition_missing);
  EXPECT_THAT(partition.message(), HasSubstr("web-01/root"));
  EXPECT_THAT(partition.because, HasSubstr("the settings say partition:3/luks/header, and it has the partitions 1, 2"));
  for (const char* path : {"/boot/luks/header", "/luks/headers", "/small/header", "/lost+found/header"}) {
    const Error missing = refused(std::string("partition:1") + path);
    EXPECT_EQ(missing.code, ErrorCode::header_file_missing);
    EXPECT_THAT(missing.because, HasSubstr(std::string("there is no ") + path + " on partition 1"));
  }
  EXPECT_THAT(refused("partition:1/luks").because, HasSubstr("is no ordinary file"));
  const Error link = refused("partition:1/link");
  EXPECT_EQ(link.code, ErrorCode::header_file_missing);
  EXPECT_THAT(link.because, HasSubstr("links are not followed: name the file itself"));
  EXPECT_THAT(refused("partition:1/way/header").because, HasSubstr("is reached by a link (/way)"));
}

TEST_F(GuestFile, AnotherFileSystemIsNamed) {
  const Error ciphertext = refused("partition:2/luks/header");
  EXPECT_EQ(ciphertext.code, ErrorCode::header_file_system);
  EXPECT_THAT(ciphertext.because, HasSubstr("on partition 2 lies nothing that is recognised"));
  EXPECT_EQ(refused("partition:1/luks/header").code, ErrorCode::header_file_system) << "zeros";
  if (!have_program("mkswap")) return;
  const auto swap = box_.sparse_file("swap", kBootSize);
  ASSERT_EQ(run({"mkswap", "-q", swap.string()}).status, 0);
  write_at(disk_, kBootAt, read_all(swap));
  EXPECT_THAT(refused("partition:1/luks/header").because,
              HasSubstr("on partition 1 lies swap, and files are read from ext2, ext3, ext4 and XFS"));
  EXPECT_THAT(refused("partition:1/luks/header").message(), HasSubstr("copy the header's file to this host"));
}

TEST_F(GuestFile, ADiskWithoutATableHasNoPartitions) {
  disk_ = box_.sparse_file("bare", 8 * kMiB);
  const Error error = refused("partition:1/luks/header");
  EXPECT_EQ(error.code, ErrorCode::header_partition_missing);
  EXPECT_THAT(error.because, HasSubstr("no partition table was recognised on it"));
}

TEST_F(GuestFile, AFileThatIsTooLargeIsNotRead) {
  std::filesystem::resize_file(tree_ / "small", kMaxHeaderFile + 1);
  make_boot("ext4");
  const Error error = refused("partition:1/small");
  EXPECT_EQ(error.code, ErrorCode::detached_header_unusable);
  EXPECT_THAT(error.because,
              HasSubstr("/small on partition 1 has 268435457 bytes, and no header has more than 256 MiB"));
}

// Whatever the guest wrote there, it is an error or some bytes, soon, and never the end of this process.
TEST_F(GuestFile, OfAHostileFileSystemNothingIsLostButItself) {
  make_boot("ext4", {"-O", "^metadata_csum"});
  std::mt19937 random(20261128);
  RecordProperty("seed", 20261128);
  for (int round = 0; round < 40; ++round) {
    Buffer broken = boot_;
    const std::size_t reach = round % 2 == 0 ? 64 * kKiB : broken.size() / 4;
    for (int change = 0; change < 40; ++change)
      broken[1024 + random() % (reach - 1024)] = static_cast<std::uint8_t>(random());
    // The magic number stays, so that it is looked into.
    broken[1024 + 56] = 0x53;
    broken[1024 + 57] = 0xEF;
    write_at(disk_, kBootAt, broken);
    const auto result = read("partition:1/luks/header");
    if (!result) {
      EXPECT_THAT((std::vector{ErrorCode::header_file_system, ErrorCode::header_file_missing,
                               ErrorCode::detached_header_unusable}),
                  Contains(result.error().code))
          << result.error().message();
    }
  }
  // As many blocks and groups as can be written.
  Buffer huge = boot_;
  std::fill_n(huge.begin() + 1024 + 4, 4, std::uint8_t{0xFF});
  std::fill_n(huge.begin() + 1024 + 0x150, 4, std::uint8_t{0xFF});
  write_at(disk_, kBootAt, huge);
  EXPECT_EQ(refused("partition:1/luks/header").code, ErrorCode::header_file_system);
}

// Folders of every form, and files of one extent, of many, and with holes.
TEST_F(GuestFile, IsReadFromXfs) {
  if (!is_root() || !have_program("mkfs.xfs")) GTEST_SKIP() << "needs root and mkfs.xfs";
  const std::vector<std::vector<std::string>> kinds = {
      {}, {"-b", "size=1024"}, {"-n", "size=16384"}, {"-i", "nrext64=1"}, {"-i", "size=2048"}};
  for (const auto& options : kinds) {
    SCOPED_TRACE(options.empty() ? "" : options.back());
    std::filesystem::remove(box_ / "xfs");
    Buffer torn(300 * 8 * kKiB);
    {
      std::vector<std::string> mkfs{"mkfs.xfs", "-q"};
      mkfs.insert(mkfs.end(), options.begin(), options.end());
      const MountedFileSystem boot(box_ / "xfs", 320 * kMiB, mkfs, box_ / "mnt");
      if (!boot.ok()) GTEST_SKIP() << boot.reason();
      const auto top = box_ / "mnt";
      ASSERT_EQ(run({"cp", "-a", tree_.string() + "/.", top.string()}).status, 0);
      std::filesystem::create_directory(top / "many");
      for (int i = 0; i < 700; ++i)
        std::ofstream(top / "many" / ("a rather long name of a file " + std::to_string(i))) << i;
      std::filesystem::create_directory(top / "some");
      for (int i = 0; i < 40; ++i) std::ofstream(top / "some" / ("name " + std::to_string(i))) << i;
      std::ofstream(top / "torn");
      for (std::uint64_t at = 0; at < torn.size(); at += 8 * kKiB) {
        const Buffer piece = noise(4 * kKiB, static_cast<unsigned>(at));
        write_at(top / "torn", at, piece);
        std::ranges::copy(piece, torn.begin() + static_cast<std::ptrdiff_t>(at));
      }
      std::filesystem::resize_file(top / "torn", torn.size());
    }
    disk_ = box_.sparse_file("xfs-disk", 322 * kMiB);
    ASSERT_EQ(run({"sfdisk", "-q", disk_.string()}, "label: gpt\nstart=2048, size=320MiB\n").status, 0);
    ASSERT_EQ(run({"dd", "if=" + (box_ / "xfs").string(), "of=" + disk_.string(), "bs=1M", "seek=1",
                   "conv=notrunc,sparse", "status=none"})
                  .status,
              0);
    const auto header = read("partition:1/luks/header");
    ASSERT_TRUE(header) << header.error().message();
    EXPECT_TRUE(*header == noise(3 * kMiB + 17, 1));
    const auto pieces = read("partition:1/torn");
    ASSERT_TRUE(pieces) << pieces.error().message();
    EXPECT_TRUE(*pieces == torn);
    for (const char* number : {"0", "399", "699"})
      EXPECT_EQ(
          std::string(as_text(read(std::string("partition:1/many/a rather long name of a file ") + number).value())),
          number);
    EXPECT_EQ(std::string(as_text(read("partition:1/some/name 39").value())), "39");
    EXPECT_THAT(refused("partition:1/many/a rather long name of a file 700").because, HasSubstr("there is no "));
    EXPECT_THAT(refused("partition:1/some/name").because, HasSubstr("there is no "));
    EXPECT_THAT(refused("partition:1/luks").because, HasSubstr("is no ordinary file"));
    EXPECT_THAT(refused("partition:1/link").because, HasSubstr("links are not followed"));
    EXPECT_THAT(refused("partition:1/way/header").because, HasSubstr("is reached by a link (/way)"));
  }
  // And of a hostile one: bytes change of the superblock, of inodes, folders and trees.
  const Buffer sound = read_all(disk_);
  std::vector<std::size_t> super;
  for (std::size_t at = kBootAt + 4; at < kBootAt + 200; ++at) super.push_back(at);
  std::vector<std::size_t> inner;
  for (std::size_t at = kBootAt + 512; at < sound.size(); at += 512) {
    const std::string_view magic = as_text(ByteView(sound).subspan(at, 4));
    const bool inode = magic.starts_with("IN");
    if (!inode && magic != "XDB3" && magic != "XDD3" && magic != "BMA3") continue;
    for (std::size_t i = at; i < at + (inode ? 512 : 1024); ++i)
      if (sound[i] != 0) inner.push_back(i);
  }
  ASSERT_FALSE(inner.empty());
  std::mt19937 random(20261128);
  const std::array<std::string, 3> paths = {"/luks/header", "/torn", "/many/a rather long name of a file 699"};
  int refusals = 0;
  for (int round = 0; round < 60; ++round) {
    const auto& among = round % 6 == 0 ? super : inner;
    std::vector<std::size_t> changed;
    for (std::size_t i = 0; i < (round % 6 == 0 ? 1 : inner.size() / 10); ++i)
      changed.push_back(among[random() % among.size()]);
    for (const std::size_t at : changed) write_at(disk_, at, Buffer{static_cast<std::uint8_t>(random())});
    const auto result = read("partition:1" + paths[static_cast<std::size_t>(round) % paths.size()]);
    for (const std::size_t at : changed) write_at(disk_, at, Buffer{sound[at]});
    if (result) continue;
    ++refusals;
    EXPECT_THAT((std::vector{ErrorCode::header_file_system, ErrorCode::header_file_missing,
                             ErrorCode::detached_header_unusable}),
                Contains(result.error().code))
        << result.error().message();
    EXPECT_THAT(result.error().because, ::testing::Not(HasSubstr("ended by signal 11"))) << "our own reader";
  }
  EXPECT_GT(refusals, 10);
}

TEST_F(GuestFile, ReadErrorsArePassedOn) {
  make_boot("ext4");
  struct Broken final : ByteSource {
    Broken(ByteSource& good) : good_(good) {}
    [[nodiscard]] std::uint64_t size() const override { return good_.size(); }
    Result<void> read(std::uint64_t offset, MutableBytes to) override {
      if (offset > kBootAt && offset < kRootAt) return fail(ErrorCode::image_unreadable, "read", "disk");
      return good_.read(offset, to);
    }
    ByteSource& good_;
  };
  const UniqueFd fd(::open(disk_.c_str(), O_RDONLY | O_CLOEXEC));
  FdSource good(fd.get(), std::filesystem::file_size(disk_), disk_.string());
  Broken disk(good);
  const auto result = read_guest_file(disk, {1, "/small"}, "web-01/root");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::image_unreadable);
}

TEST_F(GuestFile, ItsReaderCanReachNothing) {
  make_boot("ext4");
  struct Watching final : ByteSource {
    Watching(ByteSource& good) : good_(good) {}
    [[nodiscard]] std::uint64_t size() const override { return good_.size(); }
    Result<void> read(std::uint64_t offset, MutableBytes to) override {
      if (offset >= kBootAt && offset < kRootAt && seen.empty())
        for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
          std::ifstream file(entry.path() / "status");
          std::string status((std::istreambuf_iterator<char>(file)), {});
          if (!status.starts_with("Name:\tcairn-helper\n") ||
              status.find("\nPPid:\t" + std::to_string(::getpid()) + "\n") == std::string::npos)
            continue;
          seen = status;
          // Root alone may look.
          std::error_code failed;
          for (const auto& fd : std::filesystem::directory_iterator(entry.path() / "fd", failed))
            open.push_back(fd.path().filename());
        }
      return good_.read(offset, to);
    }
    ByteSource& good_;
    std::string seen;
    std::vector<std::string> open;
  };
  const UniqueFd fd(::open(disk_.c_str(), O_RDONLY | O_CLOEXEC));
  FdSource good(fd.get(), std::filesystem::file_size(disk_), disk_.string());
  Watching disk(good);
  ASSERT_TRUE(read_guest_file(disk, {1, "/small"}, "web-01/root"));
  EXPECT_THAT(disk.seen, HasSubstr("\nSeccomp:\t2\n"));
  EXPECT_THAT(disk.seen, HasSubstr("\nNoNewPrivs:\t1\n"));
  EXPECT_THAT(disk.seen, ::testing::ContainsRegex("\nCapEff:\t000000000000[04]000\n"));
  if (is_root()) {
    EXPECT_THAT(disk.open, ::testing::UnorderedElementsAre("0", "1", "2"));
  }
}

TEST_F(GuestFile, TheDataOfADetachedHeaderAreWhereBytesLookRandom) {
  make_boot("ext4");
  const UniqueFd fd(::open(disk_.c_str(), O_RDONLY | O_CLOEXEC));
  FdSource disk(fd.get(), std::filesystem::file_size(disk_), disk_.string());
  DiskFacts facts = probe_disk(disk, "disk").value();
  EXPECT_EQ(facts.encryption(), DiskEncryption::unknown);
  ASSERT_EQ(facts.not_known.size(), 1U);
  EXPECT_THAT(facts.not_known[0], HasSubstr("nothing recognised on partition 2, but its bytes look random"));
  EXPECT_THAT(facts.not_known[0],
              HasSubstr("a header that lies as a file on partition 1 is named header: partition:1/PATH"));
  VolumeFacts volume;
  volume.place = {0, disk.size()};
  ASSERT_TRUE(place_detached_volume(disk, volume, facts, "disk"));
  EXPECT_EQ(volume.partition, 2U);
  EXPECT_EQ(volume.place, (ByteRange{kRootAt, kRootSize}));
  EXPECT_THAT(facts.not_known, IsEmpty());
  EXPECT_THAT(facts.remarks, IsEmpty());
}

TEST_F(GuestFile, WhereSeveralPartitionsLookEncryptedNoneIsGuessed) {
  make_boot("ext4");
  write_at(disk_, kBootAt, noise(kBootSize, 3));
  const UniqueFd fd(::open(disk_.c_str(), O_RDONLY | O_CLOEXEC));
  FdSource disk(fd.get(), std::filesystem::file_size(disk_), disk_.string());
  DiskFacts facts = probe_disk(disk, "disk").value();
  VolumeFacts volume;
  volume.place = {0, disk.size()};
  volume.detached = "partition:1/luks/header";
  ASSERT_TRUE(place_detached_volume(disk, volume, facts, "disk"));
  EXPECT_EQ(volume.partition, 0U);
  EXPECT_EQ(facts.not_known.size(), 2U);
  EXPECT_THAT(facts.remarks, Contains(HasSubstr("several look encrypted")));
}

}  // namespace
}  // namespace cairn::testing
