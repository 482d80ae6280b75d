// SPDX-License-Identifier: GPL-3.0-or-later
// Partitioned disks, as sfdisk makes them and as a hostile guest might.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "crypto/volume/contents.h"
#include "crypto/volume/fd_source.h"
#include "crypto/volume/partitions.h"
#include "tests/crypto/volume/probe.h"
#include "tests/support/bitlocker_volume.h"

namespace cairn::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

#define NEEDS_SFDISK() \
  if (!have_program("sfdisk")) GTEST_SKIP() << "sfdisk is not installed"

void partition(const std::filesystem::path& image, std::string_view script) {
  const auto done = run({"sfdisk", "-q", image.string()}, script);
  ASSERT_EQ(done.status, 0) << done.output;
}

// A LUKS volume made apart and copied to `offset` of `image`.
void put_luks(const Sandbox& box, const std::filesystem::path& image, std::uint64_t offset, const std::string& type) {
  const auto volume = box.sparse_file("volume", 17 * kMiB);
  luks_format(volume, {"--type", type, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"});
  const Buffer bytes = read_all(volume);
  write_at(image, offset, ByteView(bytes).first(4 * kMiB));
}

TEST(Partitions, GptHoldsLuksAndBitlocker) {
  NEEDS_CRYPTSETUP();
  NEEDS_SFDISK();
  const Sandbox box;
  const auto image = box.sparse_file("disk", 64 * kMiB);
  partition(image, "label: gpt\nsize=4MiB\nsize=20MiB\nsize=17MiB\n");
  put_luks(box, image, 5 * kMiB, "luks2");
  const auto bitlocker = make_bitlocker_volume({.key_rounds = 1});
  write_at(image, 25 * kMiB, bitlocker.bytes);
  const DiskFacts facts = probe(image);
  EXPECT_EQ(facts.partition_table, "gpt");
  EXPECT_THAT(facts.remarks, IsEmpty());
  ASSERT_THAT(facts.volumes, SizeIs(2));
  EXPECT_EQ(facts.volumes[0].type, VolumeType::luks2);
  EXPECT_EQ(facts.volumes[0].partition, 2U);
  EXPECT_EQ(facts.volumes[0].place.offset, 5 * kMiB);
  EXPECT_EQ(facts.volumes[0].place.size, 20 * kMiB);
  EXPECT_EQ(facts.volumes[0].damage, "");
  EXPECT_EQ(facts.volumes[1].type, VolumeType::bitlocker);
  EXPECT_EQ(facts.volumes[1].partition, 3U);
  EXPECT_EQ(facts.volumes[1].damage, "");
  EXPECT_EQ(facts.volumes[1].header[1].offset, bitlocker.blocks[0]);
}

TEST(Partitions, MbrHoldsLuksInALogicalPartition) {
  NEEDS_CRYPTSETUP();
  NEEDS_SFDISK();
  const Sandbox box;
  const auto image = box.sparse_file("disk", 64 * kMiB);
  partition(image,
            "label: dos\nsize=4MiB, type=83\nsize=50MiB, type=5\n5: size=4MiB, type=83\n6: size=20MiB, type=83\n");
  const std::string table = run({"sfdisk", "-d", image.string()}).output;
  const auto line = table.find("disk6");
  const auto start = table.find("start=", line);
  ASSERT_NE(start, std::string::npos) << table;
  const std::uint64_t offset = std::stoull(table.substr(start + 6)) * 512;
  put_luks(box, image, offset, "luks1");
  const DiskFacts facts = probe(image);
  EXPECT_EQ(facts.partition_table, "dos");
  ASSERT_THAT(facts.volumes, SizeIs(1));
  EXPECT_EQ(facts.volumes[0].type, VolumeType::luks1);
  EXPECT_EQ(facts.volumes[0].partition, 6U);
  EXPECT_EQ(facts.volumes[0].place.offset, offset);
}

TEST(Partitions, GptWithSectorsOf4096BytesIsRead) {
  NEEDS_CRYPTSETUP();
  if (!is_root()) GTEST_SKIP() << "needs root for a loop device";
  NEEDS_SFDISK();
  const Sandbox box;
  const auto image = box.sparse_file("disk", 64 * kMiB);
  {
    const LoopDevice loop(image, {"--sector-size", "4096"});
    if (loop.name().empty()) GTEST_SKIP() << "no loop devices";
    partition(loop.name(), "label: gpt\nsize=4MiB\nsize=20MiB\n");
  }
  put_luks(box, image, 5 * kMiB, "luks2");
  const DiskFacts facts = probe(image);
  EXPECT_EQ(facts.partition_table, "gpt");
  ASSERT_THAT(facts.volumes, SizeIs(1));
  EXPECT_EQ(facts.volumes[0].place.offset, 5 * kMiB);
}

TEST(Partitions, GptWithADamagedPrimaryIsReadFromItsBackup) {
  NEEDS_CRYPTSETUP();
  NEEDS_SFDISK();
  const Sandbox box;
  const auto image = box.sparse_file("disk", 64 * kMiB);
  partition(image, "label: gpt\nsize=4MiB\nsize=20MiB\n");
  put_luks(box, image, 5 * kMiB, "luks2");
  write_at(image, 512 + 16, Buffer(4, 0xFF));  // the header's checksum
  const DiskFacts facts = probe(image);
  EXPECT_THAT(facts.volumes, SizeIs(1));
  write_at(image, 64 * kMiB - 512 + 16, Buffer(4, 0xFF));
  const DiskFacts both = probe(image);
  EXPECT_FALSE(both.encrypted());
  EXPECT_THAT(both.remarks, Contains(HasSubstr("GPT) is damaged")));
}

TEST(Partitions, OutsideOfTheDiskAreRemarks) {
  NEEDS_CRYPTSETUP();
  NEEDS_SFDISK();
  const Sandbox box;
  const auto image = box.sparse_file("disk", 64 * kMiB);
  partition(image, "label: dos\nsize=20MiB, type=83\nsize=20MiB, type=83\n");
  put_luks(box, image, 1 * kMiB, "luks2");
  std::filesystem::resize_file(image, 18 * kMiB);
  const DiskFacts facts = probe(image);
  EXPECT_THAT(facts.remarks,
              ElementsAre(HasSubstr("partition 1 reaches beyond the end"), HasSubstr("partition 2 starts outside")));
  ASSERT_THAT(facts.volumes, SizeIs(1));
  EXPECT_THAT(facts.volumes[0].cut_off, HasSubstr("beyond the end of the disk"));
  EXPECT_EQ(facts.volumes[0].place.size, 17 * kMiB);
}

// An MBR of one extended partition at sector 1, and extended boot records from there on.
void put_chain(const std::filesystem::path& image, std::uint32_t records, bool in_a_circle) {
  const auto link = [](Buffer& sector, std::size_t slot, std::uint8_t type, std::uint32_t start, std::uint32_t size) {
    sector[446 + 16 * slot + 4] = type;
    put_le(MutableBytes(sector).subspan(446 + 16 * slot + 8), start);
    put_le(MutableBytes(sector).subspan(446 + 16 * slot + 12), size);
    put_le(MutableBytes(sector).subspan(510), std::uint16_t{0xAA55});
  };
  Buffer all(512);
  link(all, 0, 0x05, 1, records * 2);
  for (std::uint32_t i = 0; i < records; ++i) {
    Buffer record(512);
    link(record, 0, 0x83, 1, 1);
    const bool last = i + 1 == records;
    if (!last || in_a_circle) link(record, 1, 0x05, last ? 0 : 2 * (i + 1), 2);
    append(all, record);
    all.resize(all.size() + 512);
  }
  write_at(image, 0, all);
}

TEST(Partitions, AChainThatIsAMaliciousLengthOrACircleEnds) {
  const Sandbox box;
  const auto image = box / "disk";
  put_chain(image, 20, false);
  DiskFacts facts = probe(image);
  EXPECT_EQ(facts.partition_table, "dos");
  EXPECT_THAT(facts.remarks, IsEmpty());
  put_chain(image, 200, false);
  facts = probe(image);
  EXPECT_THAT(facts.remarks, ElementsAre(HasSubstr("only the first 128")));
  put_chain(image, 20, true);
  facts = probe(image);
  EXPECT_THAT(facts.remarks, ElementsAre(HasSubstr("in a circle")));
  put_chain(image, 100000, false);
  facts = probe(image);
  EXPECT_THAT(facts.remarks, ElementsAre(HasSubstr("chains more than 256")));
}

TEST(Partitions, NestedInACircleBelowRemainsOfLuks2End) {
  const Sandbox box;
  const auto image = box / "disk";
  for (const bool in_a_circle : {false, true}) {
    put_chain(image, 100000, in_a_circle);
    const UniqueFd fd(::open(image.c_str(), O_RDONLY | O_CLOEXEC));
    FdSource disk(fd.get(), std::filesystem::file_size(image), "disk");
    EXPECT_TRUE(contents_in_words({disk, 1, {0, disk.size()}, "disk"}));
  }
  put_chain(image, 200, true);
  const UniqueFd fd(::open(image.c_str(), O_RDONLY | O_CLOEXEC));
  FdSource disk(fd.get(), std::filesystem::file_size(image), "disk");
  EXPECT_TRUE(contents_in_words({disk, 1, {0, disk.size()}, "disk"}));
}

TEST(Partitions, AGptThatAsksForGigabytesIsNotRead) {
  NEEDS_SFDISK();
  const Sandbox box;
  const auto image = box.sparse_file("disk", 8 * kGiB);
  partition(image, "label: gpt\nsize=4MiB\n");
  Buffer count(4);
  put_le(MutableBytes(count), std::uint32_t{0x01FFFFFF});
  write_at(image, 512 + 80, count);
  const DiskFacts facts = probe(image);
  EXPECT_FALSE(facts.encrypted());
  EXPECT_THAT(facts.remarks, ElementsAre(HasSubstr("more entries than a disk can need")));
}

TEST(Disks, WithoutEncryptionHaveNoVolumes) {
  const Sandbox box;
  for (const std::uint64_t size :
       {0ULL, 1ULL, 100ULL, 511ULL, 512ULL, 513ULL, 1024ULL, 4095ULL, 100001ULL, 1ULL * kTiB}) {
    SCOPED_TRACE(size);
    const DiskFacts facts = probe(box.sparse_file("disk", size));
    EXPECT_FALSE(facts.encrypted());
    EXPECT_EQ(facts.partition_table, "");
    EXPECT_THAT(facts.remarks, IsEmpty());
  }
}

TEST(Disks, WithAnExt4FileSystemHaveNoVolumes) {
  if (!have_program("mkfs.ext4")) GTEST_SKIP() << "mkfs.ext4 is not installed";
  const Sandbox box;
  const auto image = box.sparse_file("disk", 16 * kMiB);
  ASSERT_EQ(run({"mkfs.ext4", "-q", "-F", image.string()}).status, 0);
  const DiskFacts facts = probe(image);
  EXPECT_FALSE(facts.encrypted());
  EXPECT_THAT(facts.remarks, IsEmpty());
}

TEST(Disks, OfAnotherImageFormatAreCalledByIt) {
  const Sandbox box;
  const auto image = box.sparse_file("disk", 1 * kMiB);
  write_at(image, 0, as_bytes(std::string_view("QFI\xfb\0\0\0\3", 8)));
  EXPECT_THAT(probe(image).not_known, Contains(HasSubstr("qcow2")));
}

TEST(Disks, ThatAreBlockDevicesAreProbed) {
  NEEDS_CRYPTSETUP();
  if (!is_root()) GTEST_SKIP() << "needs root for a loop device";
  const Sandbox box;
  const auto image = box.sparse_file("disk", 24 * kMiB);
  luks_format(image, {"--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"});
  write_at(image, 5000, Buffer(10, 0xA5));
  const Buffer before = read_all(image);
  const LoopDevice loop(image);
  if (loop.name().empty()) GTEST_SKIP() << "no loop devices";
  const int fd = ::open(loop.name().c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  const auto facts = probe_disk(fd, 24 * kMiB, loop.name());
  ::close(fd);
  ASSERT_TRUE(facts);
  ASSERT_THAT(facts->volumes, SizeIs(1));
  EXPECT_THAT(facts->volumes[0].damage, HasSubstr("primary header is damaged"));
  EXPECT_TRUE(same_bytes(before, read_all(image)));
}

TEST(Disks, ThatCannotBeReadAreAnError) {
  const auto facts = probe_disk(-1, 1 * kMiB, "disk");
  ASSERT_FALSE(facts);
  EXPECT_EQ(facts.error().code, ErrorCode::io_error);
}

TEST(Disks, ThatBecomeShorterAreAnError) {
  const Sandbox box;
  const auto image = box.sparse_file("disk", 1 * kMiB);
  const UniqueFd fd(::open(image.c_str(), O_RDONLY | O_CLOEXEC));
  const auto facts = probe_disk(fd.get(), 2 * kMiB, "disk");
  ASSERT_FALSE(facts);
  EXPECT_EQ(facts.error().code, ErrorCode::io_error);
  EXPECT_THAT(facts.error().message(), HasSubstr("it had 2097152 bytes and now ends at byte"));
}

TEST(VolumeTypes, HaveNamesThatParse) {
  for (const VolumeType type : {VolumeType::luks1, VolumeType::luks2, VolumeType::bitlocker})
    EXPECT_EQ(parse_volume_type(to_string(type)), type);
  EXPECT_EQ(parse_volume_type("luks2"), std::nullopt);
}

}  // namespace
}  // namespace cairn::testing
