// SPDX-License-Identifier: GPL-3.0-or-later
// Disks without a descriptor are probed as files are, and what libblkid says of the copy of their tables is what it
// says of the disk.
#include <blkid/blkid.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <random>

#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "crypto/volume/fd_source.h"
#include "crypto/volume/partitions.h"
#include "tests/crypto/volume/probe.h"
#include "tests/support/bitlocker_volume.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// A disk in memory; beyond its bytes it is zeros.
class MemoryDisk final : public ByteSource {
 public:
  MemoryDisk(Buffer bytes, std::uint64_t size) : bytes_(std::move(bytes)), size_(size) {}
  std::function<bool(std::uint64_t)> fails_at;
  std::uint64_t read_bytes = 0;

  [[nodiscard]] std::uint64_t size() const override { return size_; }
  Result<void> read(std::uint64_t offset, MutableBytes to) override {
    EXPECT_LE(offset + to.size(), size_);
    if (fails_at && fails_at(offset)) return fail(ErrorCode::image_unreadable, "read image", "memory", "it is broken");
    read_bytes += to.size();
    std::ranges::fill(to, std::uint8_t{0});
    for (std::size_t i = 0; i < to.size() && offset + i < bytes_.size(); ++i)
      to[i] = bytes_[static_cast<std::size_t>(offset + i)];
    return {};
  }

 private:
  Buffer bytes_;
  std::uint64_t size_;
};

TEST(DisksInMemory, WithLuksAreFound) {
  NEEDS_CRYPTSETUP();
  const Sandbox box;
  const auto image = box.sparse_file("disk", 24 * kMiB);
  luks_format(image, {"--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"});
  MemoryDisk disk(read_all(image), 24 * kMiB);
  const auto facts = probe_disk(disk, "memory");
  ASSERT_TRUE(facts) << facts.error().message();
  ASSERT_THAT(facts->volumes, SizeIs(1));
  EXPECT_EQ(describe(facts->volumes[0]), describe(probe(image).volumes.at(0)));
}

TEST(DisksInMemory, WithBitlockerInAPartitionAreFound) {
  if (!have_program("sfdisk")) GTEST_SKIP() << "sfdisk is not installed";
  const Sandbox box;
  const auto image = box.sparse_file("disk", 32 * kMiB);
  ASSERT_EQ(run({"sfdisk", "-q", image.string()}, "label: gpt\nsize=4MiB\nsize=20MiB\n").status, 0);
  write_at(image, 5 * kMiB, make_bitlocker_volume({.key_rounds = 1}).bytes);
  MemoryDisk disk(read_all(image), 32 * kMiB);
  const auto facts = probe_disk(disk, "memory");
  ASSERT_TRUE(facts) << facts.error().message();
  EXPECT_EQ(facts->partition_table, "gpt");
  ASSERT_THAT(facts->volumes, SizeIs(1));
  EXPECT_EQ(facts->volumes[0].partition, 2U);
  EXPECT_EQ(describe(facts->volumes[0]), describe(probe(image).volumes.at(0)));
}

TEST(DisksInMemory, OfAnySizeAreReadInPartOnly) {
  MemoryDisk disk({}, 64 * kTiB);
  const auto facts = probe_disk(disk, "memory");
  ASSERT_TRUE(facts) << facts.error().message();
  EXPECT_FALSE(facts->encrypted());
  EXPECT_LT(disk.read_bytes, 8 * kMiB);
}

// Wherever probing looks, what cannot be read is an error: never a disk without volumes.
TEST(DisksInMemory, ThatCannotBeReadAnywhereAreAnError) {
  if (!have_program("sfdisk")) GTEST_SKIP() << "sfdisk is not installed";
  const Sandbox box;
  const auto image = box.sparse_file("disk", 32 * kMiB);
  ASSERT_EQ(run({"sfdisk", "-q", image.string()}, "label: gpt\nsize=4MiB\nsize=20MiB\n").status, 0);
  for (const std::uint64_t bad : {std::uint64_t{0}, std::uint64_t{512}, 1 * kMiB, 5 * kMiB, 32 * kMiB - 512}) {
    SCOPED_TRACE(bad);
    MemoryDisk disk(read_all(image), 32 * kMiB);
    disk.fails_at = [&](std::uint64_t offset) { return offset == bad; };
    const auto facts = probe_disk(disk, "memory");
    ASSERT_FALSE(facts);
    EXPECT_EQ(facts.error().code, ErrorCode::image_unreadable);
    EXPECT_THAT(facts.error().message(), HasSubstr("it is broken"));
  }
}

// What libblkid says when it reads the disk itself: "dos", and number, start and size of each partition.
std::string by_libblkid(int fd, std::uint64_t size, std::uint64_t sector_bytes) {
  blkid_probe probe = blkid_new_probe();
  EXPECT_EQ(blkid_probe_set_device(probe, fd, 0, static_cast<blkid_loff_t>(size)), 0);
  blkid_probe_set_sectorsize(probe, static_cast<unsigned>(sector_bytes));
  std::string gpt = "gpt";
  std::string dos = "dos";
  std::array<char*, 3> kinds = {gpt.data(), dos.data(), nullptr};
  blkid_probe_enable_partitions(probe, 1);
  blkid_probe_filter_partitions_type(probe, BLKID_FLTR_ONLYIN, kinds.data());
  std::string text;
  blkid_partlist list = blkid_probe_get_partitions(probe);
  if (blkid_parttable root = list != nullptr ? blkid_partlist_get_table(list) : nullptr; root != nullptr) {
    text = blkid_parttable_get_type(root);
    for (int i = 0; i < blkid_partlist_numof_partitions(list) && i < static_cast<int>(kMaxPartitions); ++i) {
      blkid_partition entry = blkid_partlist_get_partition(list, i);
      const auto start = static_cast<std::uint64_t>(blkid_partition_get_start(entry));
      const auto length = static_cast<std::uint64_t>(blkid_partition_get_size(entry));
      if (blkid_partition_is_extended(entry) != 0 || blkid_partition_get_partno(entry) <= 0 || length == 0) continue;
      if (start >= size / 512) continue;
      text += fmt::format(" {}:{}+{}", blkid_partition_get_partno(entry), start * 512,
                          std::min(length * 512, size - start * 512));
    }
  }
  blkid_free_probe(probe);
  return text;
}

std::string by_cairn(int fd, std::uint64_t size) {
  std::vector<std::string> remarks;
  FdSource disk(fd, size, "disk");
  const auto table = read_partitions(disk, "disk", remarks);
  EXPECT_TRUE(table);
  if (!table) return {};
  if (table->refused) return "refused";
  std::string text = table->type;
  for (const Partition& partition : table->partitions)
    text += fmt::format(" {}:{}+{}", partition.number, partition.place.offset, partition.place.size);
  return text;
}

struct Table {
  const char* name;
  const char* script;
};

void PrintTo(const Table& table, std::ostream* out) {
  *out << table.name;
}

class TablesByCopy : public ::testing::TestWithParam<Table> {};

TEST_P(TablesByCopy, SayWhatTheDiskSays) {
  if (!have_program("sfdisk")) GTEST_SKIP() << "sfdisk is not installed";
  constexpr std::uint64_t kSize = 64 * kMiB;
  const Sandbox box;
  const auto image = box.sparse_file("disk", kSize);
  const auto done = run({"sfdisk", "-q", image.string()}, GetParam().script);
  ASSERT_EQ(done.status, 0) << done.output;
  // A disklabel of BSD in whatever the first partition is: a table inside of a partition.
  Buffer label(512);
  put_le(MutableBytes(label), std::uint32_t{0x82564557});
  put_le(MutableBytes(label).subspan(132), std::uint32_t{0x82564557});
  put_le(MutableBytes(label).subspan(138), std::uint16_t{2});
  put_le(MutableBytes(label).subspan(148), std::uint32_t{4096});
  put_le(MutableBytes(label).subspan(152), std::uint32_t{2048});
  label[148 + 12] = 7;
  write_at(image, kMiB + 512, label);
  const UniqueFd fd(::open(image.c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_EQ(by_cairn(fd.get(), kSize), by_libblkid(fd.get(), kSize, 512));
  EXPECT_NE(by_cairn(fd.get(), kSize), "");

  Buffer start(34 * 512);
  ASSERT_EQ(::pread(fd.get(), start.data(), start.size(), 0), static_cast<ssize_t>(start.size()));
  std::mt19937_64 random(seed());
  for (int round = 0; round < 500; ++round) {
    SCOPED_TRACE(round);
    Buffer changed = start;
    const std::size_t changes = 1 + random() % 3;
    for (std::size_t i = 0; i < changes; ++i) {
      const std::size_t at = random() % 4 == 0 ? random() % changed.size() : 446 + random() % 66;
      changed[at] = static_cast<std::uint8_t>(random() % 2 == 0 ? random() : random() % 8);
    }
    // At times, the start of what is no table.
    if (round % 5 == 0) {
      static constexpr std::array<std::string_view, 3> kOthers = {"\xeb\x52\x90NTFS    ",
                                                                  "\xeb\x76\x90"
                                                                  "EXFAT   ",
                                                                  "\xeb\x3c\x90mkfs.fat"};
      const std::string_view other = kOthers[random() % kOthers.size()];
      std::ranges::copy(other, changed.begin());
    }
    ASSERT_EQ(::pwrite(fd.get(), changed.data(), changed.size(), 0), static_cast<ssize_t>(changed.size()));
    const std::string said = by_cairn(fd.get(), kSize);
    if (said == "refused") continue;
    EXPECT_EQ(said, by_libblkid(fd.get(), kSize, 512));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Tables, TablesByCopy,
    ::testing::Values(Table{"Gpt", "label: gpt\nsize=4MiB\nsize=20MiB\n"},
                      Table{"Primary", "label: dos\nsize=4MiB, type=a5\nsize=20MiB, type=83\nsize=8MiB, type=7\n"},
                      Table{"Logical",
                            "label: dos\nsize=4MiB, type=a9\nsize=50MiB, type=5\n5: size=4MiB, type=83\n"
                            "6: size=8MiB, type=83\n7: size=8MiB, type=a5\n"}),
    [](const auto& table) { return table.param.name; });

// An NTFS file system on a whole disk has a boot sector that could pass for an MBR: its master file table tells.
TEST(TablesOfDisks, OfANtfsDiskAreNone) {
  constexpr std::uint64_t kSize = 16 * kMiB;
  const Sandbox box;
  const auto image = box.sparse_file("disk", kSize);
  Buffer boot(512);
  std::ranges::copy(std::string_view("\xeb\x52\x90NTFS    "), boot.begin());
  put_le(MutableBytes(boot).subspan(11), std::uint16_t{512});
  boot[13] = 8;
  boot[21] = 0xf8;
  put_le(MutableBytes(boot).subspan(40), std::uint64_t{kSize / 512 - 1});
  put_le(MutableBytes(boot).subspan(48), std::uint64_t{1024});  // clusters of 4 KiB
  put_le(MutableBytes(boot).subspan(56), std::uint64_t{2});
  boot[64] = 0xf6;  // records of 1 KiB
  boot[68] = 1;
  boot[446 + 4] = 0x83;
  put_le(MutableBytes(boot).subspan(446 + 8), std::uint32_t{2048});
  put_le(MutableBytes(boot).subspan(446 + 12), std::uint32_t{2048});
  put_le(MutableBytes(boot).subspan(510), std::uint16_t{0xAA55});
  write_at(image, 0, boot);
  const UniqueFd fd(::open(image.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(by_cairn(fd.get(), kSize), by_libblkid(fd.get(), kSize, 512));
  EXPECT_EQ(by_cairn(fd.get(), kSize), "dos 1:1048576+1048576");
  for (std::uint64_t record = 0; record < 4; ++record)
    write_at(image, 1024 * 4096 + record * 1024, as_bytes(std::string_view("FILE")));
  EXPECT_EQ(by_libblkid(fd.get(), kSize, 512), "");
  EXPECT_EQ(by_cairn(fd.get(), kSize), "");
}

}  // namespace
}  // namespace cairn::testing
