// SPDX-License-Identifier: GPL-3.0-or-later
// Encrypted volumes in LVM2 and md, and what is said of those that cannot be looked into.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/base/units.h"
#include "crypto/volume/lvm_text.h"
#include "crypto/volume/segments.h"
#include "tests/crypto/volume/lvm_disk.h"
#include "tests/crypto/volume/probe.h"
#include "tests/crypto/volume/unlocking.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::uint64_t kDisk = 80 * kMiB;

class Lvm : public ::testing::Test {
 protected:
  // A LUKS2 volume of 24 MiB.
  Buffer luks() {
    const auto file = box_.sparse_file("volume", 24 * kMiB);
    luks_format(file, {"--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"});
    return read_all(file);
  }
  std::filesystem::path disk_with(const LvmText& text, bool wrap = false) {
    auto image = box_.sparse_file("disk", kDisk);
    write_at(image, 0, lvm_physical_volume(lvm_id('a'), kDisk, text.text(), wrap));
    return image;
  }
  static bool unlocks(const std::filesystem::path& image, const VolumeFacts& facts) {
    return unlock(image, facts, BekType::luks_passphrase, secret(kPassphrase)).has_value();
  }

  Sandbox box_;
};

TEST_F(Lvm, ALinearVolumeIsFoundAndUnlocks) {
  NEEDS_CRYPTSETUP();
  for (const bool wrap : {false, true}) {
    SCOPED_TRACE(wrap);
    LvmText text;
    text.volumes = lvm_volume("data", {lvm_linear(0, 24, "pv0", 8)});
    const auto image = disk_with(text, wrap);
    write_at(image, kLvmStart + 8 * kLvmExtent, luks());
    const DiskFacts facts = probe(image);
    ASSERT_THAT(facts.volumes, SizeIs(1)) << ::testing::PrintToString(facts.not_known);
    const VolumeFacts& volume = facts.volumes[0];
    EXPECT_EQ(volume.within, "lv:vg0/data");
    EXPECT_EQ(volume.partition, 0U);
    EXPECT_EQ(volume.place.offset, kLvmStart + 8 * kLvmExtent);
    EXPECT_EQ(volume.place.size, 24 * kLvmExtent);
    EXPECT_THAT(volume.segments, IsEmpty());
    EXPECT_EQ(volume.damage, "");
    EXPECT_TRUE(facts.all_known);
    EXPECT_EQ(facts.encryption(), DiskEncryption::encrypted);
    EXPECT_TRUE(unlocks(image, volume));
  }
}

TEST_F(Lvm, AVolumeOfSeveralSegmentsIsReadInItsOrder) {
  NEEDS_CRYPTSETUP();
  LvmText text;
  // The first half lies behind the second.
  text.volumes = lvm_volume("data", {lvm_linear(0, 6, "pv0", 40), lvm_linear(6, 18, "pv0", 2)});
  const auto image = disk_with(text);
  const Buffer volume = luks();
  write_at(image, kLvmStart + 40 * kLvmExtent, ByteView(volume).first(6 * kLvmExtent));
  write_at(image, kLvmStart + 2 * kLvmExtent, ByteView(volume).subspan(6 * kLvmExtent));
  const DiskFacts facts = probe(image);
  ASSERT_THAT(facts.volumes, SizeIs(1));
  EXPECT_THAT(facts.volumes[0].segments, SizeIs(2));
  EXPECT_EQ(facts.volumes[0].damage, "");
  EXPECT_TRUE(unlocks(image, facts.volumes[0]));
}

TEST_F(Lvm, AStripedVolumeIsPutTogether) {
  NEEDS_CRYPTSETUP();
  LvmText text;
  text.volumes = lvm_volume("data", {"start_extent = 0\nextent_count = 24\ntype = \"striped\"\nstripe_count = 2\n"
                                     "stripe_size = 128\nstripes = [\n\"pv0\", 0,\n\"pv0\", 30\n]\n"});
  const auto image = disk_with(text);
  const Buffer volume = luks();
  constexpr std::uint64_t kStripe = 64 * kKiB;
  for (std::uint64_t at = 0; at < volume.size(); at += kStripe) {
    const std::uint64_t number = at / kStripe;
    const std::uint64_t leg = kLvmStart + (number % 2 == 0 ? 0 : 30 * kLvmExtent);
    write_at(image, leg + number / 2 * kStripe, ByteView(volume).subspan(at, kStripe));
  }
  const DiskFacts facts = probe(image);
  ASSERT_THAT(facts.volumes, SizeIs(1));
  EXPECT_EQ(facts.volumes[0].damage, "");
  EXPECT_TRUE(unlocks(image, facts.volumes[0]));
}

TEST_F(Lvm, WhatLiesOnAnotherDiskIsNotKnown) {
  LvmText text;
  text.physical = {lvm_id('a'), lvm_id('b')};
  text.volumes = lvm_volume("data", {lvm_linear(0, 4, "pv0", 0), lvm_linear(4, 4, "pv1", 0)});
  const DiskFacts facts = probe(disk_with(text));
  EXPECT_EQ(facts.encryption(), DiskEncryption::unknown);
  EXPECT_THAT(facts.not_known, ElementsAre("lv:vg0/data: part of it lies on another disk"));
}

TEST_F(Lvm, KindsThatAreNotLookedIntoAreNamed) {
  LvmText text;
  text.volumes = lvm_volume("pool", {"start_extent = 0\nextent_count = 4\ntype = \"thin-pool\"\n"});
  EXPECT_THAT(probe(disk_with(text)).not_known,
              ElementsAre("lv:vg0/pool: it is of type thin-pool, which is not looked into"));
}

TEST_F(Lvm, APhysicalVolumeWithoutReadableMetadataIsNotKnown) {
  const auto image = box_.sparse_file("disk", kDisk);
  write_at(image, 0, lvm_physical_volume(lvm_id('a'), kDisk, ""));
  const DiskFacts facts = probe(image);
  EXPECT_EQ(facts.encryption(), DiskEncryption::unknown);
  ASSERT_THAT(facts.not_known, SizeIs(1));
  EXPECT_THAT(facts.not_known[0], HasSubstr("LVM2_member"));
}

TEST_F(Lvm, HostileGroupsAreRefusedInWords) {
  const auto parse = [](const LvmText& text) { return parse_lvm_group(text.text()); };
  LvmText good;
  good.volumes = lvm_volume("data", {lvm_linear(0, 4, "pv0", 0)});
  ASSERT_TRUE(parse(good));
  EXPECT_EQ(parse(good)->logical.at(0).why_not, "");

  LvmText bad = good;
  bad.group = "a/b";
  EXPECT_FALSE(parse(bad));
  for (const std::string& segment : {lvm_linear(0, 0, "pv0", 0), lvm_linear(0, 1ULL << 40, "pv0", 0),
                                     lvm_linear(0, 4, "pv0", 1ULL << 40), std::string("type = \"striped\"\n")}) {
    bad = good;
    bad.volumes = lvm_volume("data", {segment});
    ASSERT_TRUE(parse(bad));
    EXPECT_NE(parse(bad)->logical.at(0).why_not, "");
  }
  std::string deep = "vg {";
  for (int i = 0; i < 100000; ++i) deep += "a {";
  EXPECT_FALSE(parse_lvm_group(deep));
  std::string many = "vg { a = [";
  for (int i = 0; i < 200000; ++i) many += "1,";
  EXPECT_FALSE(parse_lvm_group(many + "1] }"));
}

TEST_F(Lvm, PlacesOutsideOfThePhysicalVolumeAreNotRead) {
  LvmText text;
  text.extents = 1000;
  text.volumes = lvm_volume("data", {lvm_linear(0, 24, "pv0", 900)});
  EXPECT_THAT(probe(disk_with(text)).not_known,
              ElementsAre("lv:vg0/data: part of it would lie outside of its physical volume"));
}

TEST_F(Lvm, AMirrorOfMdIsLookedInto) {
  NEEDS_CRYPTSETUP();
  const auto image = box_.sparse_file("disk", kDisk);
  write_at(image, 4096, md_superblock({.data_size = 24 * kMiB / 512}));
  write_at(image, kMiB, luks());
  const DiskFacts facts = probe(image);
  ASSERT_THAT(facts.volumes, SizeIs(1)) << ::testing::PrintToString(facts.not_known);
  EXPECT_EQ(facts.volumes[0].within, "md:guest:0");
  EXPECT_EQ(facts.volumes[0].place.offset, kMiB);
  EXPECT_TRUE(unlocks(image, facts.volumes[0]));
}

TEST_F(Lvm, LvmOnAMirrorOfMdIsLookedInto) {
  NEEDS_CRYPTSETUP();
  const auto image = box_.sparse_file("disk", kDisk);
  LvmText text;
  text.volumes = lvm_volume("data", {lvm_linear(0, 24, "pv0", 0)});
  write_at(image, 4096, md_superblock({.data_size = (kDisk - kMiB) / 512}));
  write_at(image, kMiB, lvm_physical_volume(lvm_id('a'), kDisk, text.text()));
  write_at(image, kMiB + kLvmStart, luks());
  const DiskFacts facts = probe(image);
  ASSERT_THAT(facts.volumes, SizeIs(1)) << ::testing::PrintToString(facts.not_known);
  EXPECT_EQ(facts.volumes[0].within, "lv:vg0/data");
}

TEST_F(Lvm, MembersThatDoNotHoldTheirDataAloneAreNotKnown) {
  for (const MdFacts& facts :
       {MdFacts{.level = 5, .disks = 3, .data_size = 1000}, MdFacts{.level = 0, .disks = 2, .data_size = 1000},
        MdFacts{.data_size = 1000, .role = 0xFFFF}, MdFacts{.data_at = 1ULL << 50, .data_size = 1000}}) {
    const auto image = box_.sparse_file("disk", kDisk);
    write_at(image, 4096, md_superblock(facts));
    const DiskFacts found = probe(image);
    EXPECT_EQ(found.encryption(), DiskEncryption::unknown);
    ASSERT_THAT(found.not_known, SizeIs(1));
    EXPECT_THAT(found.not_known[0], HasSubstr("linux_raid_member"));
  }
}

// Physical volumes that lvm2 2.03.16 made (their first 12 KiB): extents of 1 MiB; "one" has two segments on the first,
// "str" has stripes of 64 KiB from extent 20 of the first and 0 of the second, "two" is linear.
TEST_F(Lvm, PhysicalVolumesThatLvmMadeAreRead) {
  NEEDS_CRYPTSETUP();
  if (!have_program("sfdisk")) GTEST_SKIP() << "sfdisk is not installed";
  const std::filesystem::path made = CAIRN_SOURCE_ROOT "/tests/fuzz/corpus/volume";
  const auto image = box_.sparse_file("disk", 202 * kMiB);
  ASSERT_EQ(
      run({"sfdisk", "-q", image.string()}, "label: dos\nstart=2048, size=204800, type=8e\nsize=204800, type=8e\n")
          .status,
      0);
  constexpr std::uint64_t kFirst = kMiB;
  constexpr std::uint64_t kSecond = 101 * kMiB;
  write_at(image, kFirst, read_all(made / "lvm1"));
  write_at(image, kSecond, read_all(made / "lvm2"));
  const Buffer volume = luks();
  constexpr std::uint64_t kStripe = 64 * kKiB;
  for (std::uint64_t at = 0; at < volume.size(); at += kStripe) {
    const std::uint64_t number = at / kStripe;
    const std::uint64_t leg = number % 2 == 0 ? kFirst + kMiB + 20 * kMiB : kSecond + kMiB;
    write_at(image, leg + number / 2 * kStripe, ByteView(volume).subspan(at, kStripe));
  }
  const DiskFacts facts = probe(image);
  ASSERT_THAT(facts.volumes, SizeIs(1)) << ::testing::PrintToString(facts.not_known);
  EXPECT_EQ(facts.volumes[0].within, "lv:vgx/str");
  EXPECT_EQ(facts.volumes[0].partition, 1U);
  EXPECT_EQ(facts.volumes[0].damage, "");
  EXPECT_TRUE(unlocks(image, facts.volumes[0]));
  EXPECT_THAT(facts.not_known,
              ElementsAre(HasSubstr("lv:vgx/one on partition 1"), HasSubstr("lv:vgx/two on partition 1")));

  // Without the second one the striped volume cannot be put together.
  write_at(image, kSecond, Buffer(8192));
  EXPECT_THAT(probe(image).not_known, ::testing::Contains("lv:vgx/str: part of it lies on another disk"));
}

TEST(Segments, EveryByteHasItsPlace) {
  VolumeFacts volume;
  volume.place = {1000, 400};
  volume.segments = {{0, 100, 0, {1000}}, {100, 300, 50, {5000, 7000, 9000}}};
  ASSERT_TRUE(are_whole(volume.segments, 400));
  EXPECT_FALSE(are_whole(volume.segments, 401));
  EXPECT_EQ(place_of(volume, 99).offset, 1099U);
  EXPECT_EQ(place_of(volume, 99).size, 1U);
  EXPECT_EQ(place_of(volume, 100).offset, 5000U);
  EXPECT_EQ(place_of(volume, 155).offset, 7005U);
  EXPECT_EQ(place_of(volume, 155).size, 45U);
  EXPECT_EQ(place_of(volume, 399).offset, 9099U);
  EXPECT_EQ(place_of(volume, 400).size, 0U);
  EXPECT_THAT(places_of(volume, {90, 1000}), SizeIs(7));
}

}  // namespace
}  // namespace cairn::testing
