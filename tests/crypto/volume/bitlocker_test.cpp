// SPDX-License-Identifier: GPL-3.0-or-later
// BitLocker volumes: some of our own making, and those that Windows made where $CAIRN_TESTDATA has them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/base/units.h"
#include "crypto/volume/fve_metadata.h"
#include "tests/crypto/volume/probe.h"
#include "tests/support/bitlocker_volume.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<std::string> kinds(const VolumeFacts& facts) {
  std::vector<std::string> names;
  for (const KeySlotFacts& slot : facts.slots) names.push_back(slot.kind);
  return names;
}

// Without a key that works: the derivation takes half a second each time.
struct Bitlocker : ::testing::Test {
  void make(bool to_go = false) {
    volume = make_bitlocker_volume({.to_go = to_go, .key_rounds = 1});
    write_at(image, 0, volume.bytes);
  }
  // Changes bytes of block `number`; with `checksum`, so that they look meant.
  void change(std::size_t number, std::size_t at, const Buffer& bytes, bool checksum = false) {
    const MutableBytes block = MutableBytes(volume.bytes).subspan(volume.blocks[number], kFveBlockBytes);
    std::copy(bytes.begin(), bytes.end(), block.begin() + static_cast<std::ptrdiff_t>(at));
    if (checksum) repair_checksum(block);
    write_at(image, 0, volume.bytes);
  }
  VolumeFacts probe_one() {
    last = probe(image);
    EXPECT_THAT(last.volumes, SizeIs(1));
    return last.volumes.empty() ? VolumeFacts{} : last.volumes[0];
  }

  Sandbox box;
  std::filesystem::path image = box / "disk";
  BitlockerVolume volume;
  DiskFacts last;
};

TEST_F(Bitlocker, IsRecognised) {
  for (const bool to_go : {false, true}) {
    SCOPED_TRACE(to_go);
    make(to_go);
    const VolumeFacts facts = probe_one();
    EXPECT_EQ(facts.type, VolumeType::bitlocker);
    EXPECT_EQ(facts.uuid, volume.guid);
    EXPECT_EQ(facts.label, "CAIRN TEST 2022");
    EXPECT_EQ(facts.cipher, "aes-xts-plain64");
    EXPECT_EQ(facts.key_bits, 256U);
    EXPECT_EQ(facts.sector_bytes, 512U);
    EXPECT_EQ(facts.data_offset, 0U);
    EXPECT_THAT(kinds(facts), ElementsAre("password", "recovery-password"));
    EXPECT_EQ(facts.damage, "");
    EXPECT_THAT(last.remarks, IsEmpty());
    ASSERT_THAT(facts.header, SizeIs(4));
    EXPECT_EQ(facts.header[0].offset, 0U);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(facts.header[i + 1].offset, volume.blocks[i]);
      EXPECT_EQ(facts.header[i + 1].size, kFveBlockBytes);
    }
  }
}

TEST_F(Bitlocker, HeaderAreasAreWhatUnlockingNeeds) {
  NEEDS_CRYPTSETUP();
  volume = make_bitlocker_volume();
  write_at(image, 0, volume.bytes);
  const VolumeFacts facts = probe_one();
  const auto copy = box.sparse_file("copy", volume.bytes.size());
  for (const ByteRange& range : facts.header)
    write_at(copy, range.offset, ByteView(volume.bytes).subspan(range.offset, range.size));
  const auto open = [&](const std::string& secret) {
    return run({"cryptsetup", "open", "--type", "bitlk", "--test-passphrase", "--key-file", "-", copy.string()}, secret)
        .status;
  };
  EXPECT_EQ(open(volume.recovery_password), 0);
  EXPECT_EQ(open("cairn test volume"), 0);
  EXPECT_NE(open("another password"), 0);
}

TEST_F(Bitlocker, AFatFileSystemIsNotToGo) {
  make(true);
  write_at(image, 424, Buffer(16, 0));
  EXPECT_FALSE(probe(image).encrypted());
}

TEST_F(Bitlocker, FirstBlockDamagedIsReportedAndTheOthersSpeak) {
  make();
  change(0, 0, Buffer(kFveBlockBytes, 0));
  const VolumeFacts facts = probe_one();
  EXPECT_EQ(facts.damage,
            "FVE metadata block 1 of 3 is damaged: its signature is missing; at least one other is intact");
  EXPECT_EQ(facts.uuid, volume.guid);
  EXPECT_THAT(kinds(facts), ElementsAre("password", "recovery-password"));
  EXPECT_THAT(facts.header, SizeIs(4));
}

TEST_F(Bitlocker, OneFlippedBitInABlockIsNoticed) {
  make();
  for (const std::size_t block : {1U, 2U}) {
    volume = make_bitlocker_volume({.key_rounds = 1});
    const std::uint8_t old = volume.bytes[volume.blocks[block] + 300];
    change(block, 300, {static_cast<std::uint8_t>(old ^ 4)});
    EXPECT_THAT(probe_one().damage, HasSubstr("its checksum is wrong; at least one other is intact"));
  }
}

TEST_F(Bitlocker, AllBlocksDamagedIsStillAVolume) {
  make();
  for (std::size_t i = 0; i < 3; ++i) change(i, 0, Buffer(kFveBlockBytes, 0));
  const VolumeFacts facts = probe_one();
  EXPECT_EQ(facts.type, VolumeType::bitlocker);
  EXPECT_THAT(facts.damage, HasSubstr("none is intact"));
}

TEST_F(Bitlocker, BlocksOutsideOfTheVolumeAreReported) {
  make();
  const Buffer far(24, 0xFF);
  write_at(image, 176, far);
  EXPECT_THAT(probe_one().damage, HasSubstr("outside of the volume"));
  write_at(image, 176, Buffer(24, 0));
  EXPECT_THAT(probe_one().damage, HasSubstr("its place is not known"));
}

TEST_F(Bitlocker, AnImageCutOffIsReported) {
  make();
  std::filesystem::resize_file(image, volume.blocks[1] + 100);
  EXPECT_THAT(probe_one().damage, HasSubstr("only " + std::to_string(volume.blocks[1] + 100) + " are there"));
  std::filesystem::resize_file(image, 512);
  EXPECT_NE(probe_one().damage, "");
}

TEST_F(Bitlocker, WithoutAVolumeKeyLibcryptsetupDoesNotSeeIt) {
  make();
  // The FVEK entry's type, in all blocks: it follows the description and two protectors.
  std::size_t at = 112;
  const ByteView block = ByteView(volume.bytes).subspan(volume.blocks[0], kFveBlockBytes);
  while (get_le<std::uint16_t>(block.subspan(at + 2)) != 3) at += get_le<std::uint16_t>(block.subspan(at));
  for (std::size_t i = 0; i < 3; ++i) change(i, at + 2, {0x42, 0}, true);
  EXPECT_THAT(probe_one().damage, HasSubstr("no volume key"));
}

TEST_F(Bitlocker, SuspendedProtectionAndUnfinishedEncryptionAreRemarks) {
  make();
  std::size_t at = 112;  // the description; the first protector follows
  at += get_le<std::uint16_t>(ByteView(volume.bytes).subspan(volume.blocks[0] + at));
  for (std::size_t i = 0; i < 3; ++i) {
    change(i, at + 8 + 26, {0, 0}, true);
    change(i, 12, {2, 0}, true);
  }
  EXPECT_THAT(kinds(probe_one()), ElementsAre("clear-key", "recovery-password"));
  EXPECT_THAT(last.remarks, ElementsAre(HasSubstr("not finished"), HasSubstr("suspended")));
}

TEST(BitlockerGuid, IsInMicrosoftsByteOrder) {
  EXPECT_EQ(guid_text(*from_hex("3bd66749292ed84a8399f6a339e3d001")), "4967d63b-2e29-4ad8-8399-f6a339e3d001");
}

struct WindowsVolume {
  const char* name;
  const char* cipher;
  unsigned key_bits;
  std::vector<std::string> kinds;
};

TEST(BitlockerOfWindows, IsRecognised) {
  const Sandbox box;
  std::string why;
  const auto data = unpack_windows_volumes(box, why);
  if (data.empty()) GTEST_SKIP() << why;
  const std::vector<WindowsVolume> volumes = {
      {"aes-xts-128", "aes-xts-plain64", 256, {"password", "recovery-password"}},
      {"aes-xts-256", "aes-xts-plain64", 512, {"password", "recovery-password"}},
      {"aes-cbc-256", "aes-cbc-eboiv", 256, {"password", "recovery-password"}},
      {"aes-xts-128-startup-key", "aes-xts-plain64", 256, {"password", "recovery-password", "startup-key"}}};
  for (const WindowsVolume& expected : volumes) {
    SCOPED_TRACE(expected.name);
    const auto image = data / (std::string(expected.name) + ".img");
    const DiskFacts facts = probe(image);
    ASSERT_THAT(facts.volumes, SizeIs(1));
    const VolumeFacts& volume = facts.volumes[0];
    EXPECT_EQ(volume.type, VolumeType::bitlocker);
    EXPECT_EQ(volume.damage, "");
    EXPECT_THAT(facts.remarks, IsEmpty());
    EXPECT_EQ(volume.cipher, expected.cipher);
    EXPECT_EQ(volume.key_bits, expected.key_bits);
    EXPECT_EQ(kinds(volume), expected.kinds);
    EXPECT_THAT(volume.label, HasSubstr("DESKTOP-"));
    EXPECT_THAT(volume.header, SizeIs(4));
    const std::string dump = run({"cryptsetup", "bitlkDump", image.string()}).output;
    EXPECT_THAT(dump, HasSubstr(volume.uuid));
    EXPECT_THAT(dump, HasSubstr(volume.label));
  }
}

}  // namespace
}  // namespace cairn::testing
