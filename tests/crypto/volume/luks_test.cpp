// SPDX-License-Identifier: GPL-3.0-or-later
// LUKS volumes as cryptsetup itself makes them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/base/units.h"
#include "tests/crypto/volume/probe.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::uint64_t kDisk = 24 * kMiB;

std::vector<std::string> luks2(std::initializer_list<std::string> more = {}) {
  std::vector<std::string> options = {"--type", "luks2"};
  options.insert(options.end(), kCheap.begin(), kCheap.end());
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

std::string dump_field(const std::filesystem::path& image, const std::string& name) {
  const std::string dump = run({"cryptsetup", "luksDump", image.string()}).output;
  const auto at = dump.find("\n" + name);
  if (at == std::string::npos) return {};
  const auto value = dump.find_first_not_of(" \t", at + 1 + name.size());
  return dump.substr(value, dump.find('\n', value) - value);
}

TEST(Luks, RecognisesLuks1) {
  NEEDS_CRYPTSETUP();
  const Sandbox box;
  const auto image = box.sparse_file("disk", kDisk);
  luks_format(image, {"--type", "luks1", "--pbkdf-force-iterations", "1000", "--cipher", "aes-xts-plain64",
                      "--key-size", "512"});
  const DiskFacts facts = probe(image);
  ASSERT_THAT(facts.volumes, SizeIs(1));
  EXPECT_THAT(facts.remarks, IsEmpty());
  EXPECT_EQ(facts.partition_table, "");
  const VolumeFacts& volume = facts.volumes[0];
  EXPECT_EQ(volume.type, VolumeType::luks1);
  EXPECT_EQ(volume.partition, 0U);
  EXPECT_EQ(volume.place.size, kDisk);
  EXPECT_EQ(volume.uuid, dump_field(image, "UUID:"));
  EXPECT_EQ(volume.cipher, "aes-xts-plain64");
  EXPECT_EQ(volume.key_bits, 512U);
  EXPECT_EQ(volume.sector_bytes, 512U);
  EXPECT_EQ(volume.data_offset, 2 * kMiB);
  ASSERT_THAT(volume.slots, SizeIs(1));
  EXPECT_EQ(volume.slots[0].kind, "pbkdf2");
  ASSERT_THAT(volume.header, SizeIs(1));
  EXPECT_EQ(volume.header[0].offset, 0U);
  EXPECT_EQ(volume.header[0].size, 2 * kMiB);
  EXPECT_EQ(volume.damage, "");
}

TEST(Luks, RecognisesLuks2WithLabelAndSeveralSlots) {
  NEEDS_CRYPTSETUP();
  const Sandbox box;
  const auto image = box.sparse_file("disk", kDisk);
  luks_format(image, luks2({"--label", "vault-é"}));
  luks_add_key(image, kCheapArgon);
  const DiskFacts facts = probe(image);
  ASSERT_THAT(facts.volumes, SizeIs(1));
  const VolumeFacts& volume = facts.volumes[0];
  EXPECT_EQ(volume.type, VolumeType::luks2);
  EXPECT_EQ(volume.uuid, dump_field(image, "UUID:"));
  EXPECT_EQ(volume.label, "vault-é");
  EXPECT_EQ(volume.cipher, "aes-xts-plain64");
  EXPECT_EQ(volume.key_bits, 512U);
  EXPECT_EQ(volume.data_offset, 16 * kMiB);
  ASSERT_THAT(volume.slots, SizeIs(2));
  EXPECT_EQ(volume.slots[0].number, 0);
  EXPECT_EQ(volume.slots[0].kind, "pbkdf2");
  EXPECT_EQ(volume.slots[1].number, 1);
  EXPECT_EQ(volume.slots[1].kind, "argon2id");
  ASSERT_THAT(volume.header, SizeIs(1));
  EXPECT_EQ(volume.header[0].size, 16 * kMiB);
  EXPECT_EQ(volume.damage, "");
}

TEST(Luks, SaysThatAPartOfTheVolumeIsMissingWhereTheHeaderShowsIt) {
  NEEDS_CRYPTSETUP();
  for (const auto& format :
       {luks2(), std::vector<std::string>{"--type", "luks1", "--pbkdf-force-iterations", "1000"}}) {
    const Sandbox box;
    const auto image = box.sparse_file("disk", kDisk);
    luks_format(image, format);
    EXPECT_EQ(probe(image).volumes.at(0).cut_off, "");
    std::filesystem::resize_file(image, 1 * kMiB);
    EXPECT_NE(probe(image).volumes.at(0).cut_off, "");
  }
}

TEST(Luks, TellsTheSectorSize) {
  NEEDS_CRYPTSETUP();
  for (const unsigned sector : {512U, 4096U}) {
    const Sandbox box;
    const auto image = box.sparse_file("disk", kDisk);
    luks_format(image, luks2({"--sector-size", std::to_string(sector)}));
    const DiskFacts facts = probe(image);
    ASSERT_THAT(facts.volumes, SizeIs(1));
    EXPECT_EQ(facts.volumes[0].sector_bytes, sector);
    EXPECT_EQ(facts.volumes[0].damage, "");
  }
}

TEST(Luks, TellsTheHeaderAreasOfOtherSizes) {
  NEEDS_CRYPTSETUP();
  const Sandbox box;
  const auto image = box.sparse_file("disk", kDisk);
  luks_format(image, luks2({"--luks2-metadata-size", "64k", "--luks2-keyslots-size", "512k"}));
  const DiskFacts facts = probe(image);
  ASSERT_THAT(facts.volumes, SizeIs(1));
  ASSERT_THAT(facts.volumes[0].header, SizeIs(1));
  EXPECT_EQ(facts.volumes[0].header[0].size, 640 * kKiB);
}

TEST(Luks, HeaderAreasAreWhatUnlockingNeeds) {
  NEEDS_CRYPTSETUP();
  for (const char* type : {"luks1", "luks2"}) {
    const Sandbox box;
    const auto image = box.sparse_file("disk", kDisk);
    luks_format(image, {"--type", type, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"});
    const DiskFacts facts = probe(image);
    ASSERT_THAT(facts.volumes, SizeIs(1));
    const Buffer bytes = read_all(image);
    const auto copy = box.sparse_file("copy", kDisk);
    for (const ByteRange& range : facts.volumes[0].header)
      write_at(copy, range.offset, ByteView(bytes).subspan(range.offset, range.size));
    EXPECT_TRUE(opens(copy)) << type;
  }
}

// What the damage tests start from.
struct Damaged : ::testing::Test {
  void SetUp() override {
    NEEDS_CRYPTSETUP();
    image = box.sparse_file("disk", kDisk);
    luks_format(image, luks2());
    const DiskFacts facts = probe(image);
    ASSERT_THAT(facts.volumes, SizeIs(1));
    sound = facts.volumes[0];
    ASSERT_EQ(sound.damage, "");
  }
  VolumeFacts probe_damaged() const {
    const DiskFacts facts = probe(image);
    EXPECT_THAT(facts.volumes, SizeIs(1));
    return facts.volumes.empty() ? VolumeFacts{} : facts.volumes[0];
  }
  static Buffer junk(std::size_t size) { return Buffer(size, 0xA5); }

  Sandbox box;
  std::filesystem::path image;
  VolumeFacts sound;
};

TEST_F(Damaged, LuksPrimaryIsReportedAndLeftAsItIs) {
  write_at(image, 5000, junk(100));  // in the JSON area
  const VolumeFacts facts = probe_damaged();
  EXPECT_EQ(facts.damage, "the primary header is damaged; the secondary is intact");
  EXPECT_EQ(facts.uuid, sound.uuid);
  EXPECT_EQ(facts.cipher, sound.cipher);
  EXPECT_THAT(facts.slots, SizeIs(1));
  EXPECT_EQ(facts.header[0].size, sound.header[0].size);
  // The danger is real: cryptsetup does write to the image, even when only asked to show the header.
  const Buffer before = read_all(image);
  EXPECT_EQ(run({"cryptsetup", "luksDump", image.string()}).status, 0);
  EXPECT_FALSE(same_bytes(before, read_all(image)));
}

TEST_F(Damaged, LuksPrimaryWithoutItsMagicIsFoundByTheSecondary) {
  write_at(image, 0, Buffer(4096, 0));
  const VolumeFacts facts = probe_damaged();
  EXPECT_EQ(facts.damage, "the primary header is missing; the secondary is intact");
  EXPECT_EQ(facts.uuid, sound.uuid);
  EXPECT_EQ(facts.header[0].size, sound.header[0].size);
}

TEST_F(Damaged, LuksSecondaryIsReportedAndLeftAsItIs) {
  write_at(image, 16 * kKiB + 5000, junk(100));
  const VolumeFacts facts = probe_damaged();
  EXPECT_EQ(facts.damage, "the secondary header is damaged; the primary is intact");
  EXPECT_EQ(facts.uuid, sound.uuid);
}

TEST_F(Damaged, LuksSecondaryThatIsOlderIsReported) {
  const Buffer old = read_all(image);
  luks_add_key(image, kCheap);
  write_at(image, 16 * kKiB, ByteView(old).subspan(16 * kKiB, 16 * kKiB));
  const VolumeFacts facts = probe_damaged();
  EXPECT_EQ(facts.damage, "the secondary header is out of date; the primary is intact");
  EXPECT_THAT(facts.slots, SizeIs(2));
}

TEST_F(Damaged, LuksHeadersBothAreStillAVolume) {
  write_at(image, 5000, junk(100));
  write_at(image, 16 * kKiB + 5000, junk(100));
  const VolumeFacts facts = probe_damaged();
  EXPECT_EQ(facts.type, VolumeType::luks2);
  EXPECT_EQ(facts.damage, "no sound header is left: the primary is damaged, the secondary is damaged");
  EXPECT_EQ(facts.uuid, sound.uuid);
  ASSERT_THAT(facts.header, SizeIs(1));
  EXPECT_EQ(facts.header[0].size, 16 * kMiB);
}

TEST_F(Damaged, LuksSizeInThePrimaryDoesNotHideTheSecondary) {
  Buffer size(8, 0);
  size[5] = 0x80;  // 0x800000: no possible size
  write_at(image, 8, size);
  EXPECT_EQ(probe_damaged().damage, "the primary header is damaged; the secondary is intact");
  size = {0, 0, 0, 0, 0, 0x40, 0, 0};  // 4 MiB: possible, but not so
  write_at(image, 8, size);
  EXPECT_EQ(probe_damaged().damage, "the primary header is damaged; the secondary is intact");
  size = Buffer(8, 0xFF);
  write_at(image, 8, size);
  EXPECT_EQ(probe_damaged().damage, "the primary header is damaged; the secondary is intact");
}

TEST_F(Damaged, LuksVersionThatDoesNotExistIsStillAVolume) {
  write_at(image, 6, Buffer{0, 9});
  EXPECT_EQ(probe_damaged().damage, "the primary header is damaged; the secondary is intact");
  write_at(image, 16 * kKiB, Buffer(16 * kKiB, 0));
  EXPECT_THAT(probe_damaged().damage, HasSubstr("LUKS version 9"));
}

TEST_F(Damaged, LuksImageCutOffAnywhereIsStillAVolume) {
  for (const std::uint64_t size :
       {16 * kMiB, 16 * kMiB - 1, 1 * kMiB + 7, 32 * kKiB, 20 * kKiB, 16 * kKiB, 4096UL, 600UL, 512UL, 100UL, 8UL}) {
    SCOPED_TRACE(size);
    std::filesystem::resize_file(image, size);
    const VolumeFacts facts = probe_damaged();
    EXPECT_NE(facts.damage, "");
    for (const ByteRange& range : facts.header) EXPECT_LE(range.offset + range.size, size);
  }
  std::filesystem::resize_file(image, 7);
  EXPECT_FALSE(probe(image).encrypted());
}

TEST_F(Damaged, LuksRemainsUnderAnotherFileSystemAreARemark) {
  if (!have_program("mkfs.ext4")) GTEST_SKIP() << "mkfs.ext4 is not installed";
  // As after a badly wiped disk: only the secondary header of what was there before remains.
  const Buffer old = read_all(image);
  ASSERT_EQ(run({"mkfs.ext4", "-q", "-F", image.string()}).status, 0);
  write_at(image, 16 * kKiB, ByteView(old).subspan(16 * kKiB, 16 * kKiB));
  const DiskFacts facts = probe(image);
  EXPECT_FALSE(facts.encrypted());
  EXPECT_THAT(facts.remarks, ElementsAre(HasSubstr("remains of a LUKS2 header")));
}

TEST(Luks, DetachedHeaderIsReportedAsOne) {
  NEEDS_CRYPTSETUP();
  const Sandbox box;
  const auto image = box.sparse_file("disk", kDisk);
  const auto header = box.sparse_file("header", 16 * kMiB);
  luks_format(image, luks2({"--header", header.string(), "--offset", "0"}));
  const DiskFacts facts = probe(header);
  ASSERT_THAT(facts.volumes, SizeIs(1));
  EXPECT_THAT(facts.volumes[0].damage, HasSubstr("detached"));
  EXPECT_NE(facts.volumes[0].uuid, "");
  EXPECT_FALSE(probe(image).encrypted());
}

TEST(Luks, Luks1WithDamagedHeaderIsStillAVolume) {
  NEEDS_CRYPTSETUP();
  const Sandbox box;
  const auto image = box.sparse_file("disk", kDisk);
  luks_format(image, {"--type", "luks1", "--pbkdf-force-iterations", "1000"});
  const std::string uuid = dump_field(image, "UUID:");
  write_at(image, 208 + 40, Buffer(8, 0xFF));  // key material offset and stripes of slot 0
  const DiskFacts facts = probe(image);
  ASSERT_THAT(facts.volumes, SizeIs(1));
  EXPECT_THAT(facts.volumes[0].damage, HasSubstr("header is damaged"));
  EXPECT_EQ(facts.volumes[0].uuid, uuid);
  // An impossible start of the data must not make the header area as large as the disk.
  write_at(image, 104, Buffer(4, 0xFF));
  std::filesystem::resize_file(image, 4 * kTiB);
  const DiskFacts hostile = probe(image);
  ASSERT_THAT(hostile.volumes, SizeIs(1));
  ASSERT_THAT(hostile.volumes[0].header, SizeIs(1));
  EXPECT_LE(hostile.volumes[0].header[0].size, 16 * kMiB);
}

}  // namespace
}  // namespace cairn::testing
