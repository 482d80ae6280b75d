// SPDX-License-Identifier: GPL-3.0-or-later
// What is said of disks without encrypted volumes: not encrypted only where that was seen; and what looking may cost.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "crypto/volume/fd_source.h"
#include "crypto/volume/luks_json.h"
#include "tests/crypto/volume/probe.h"

namespace cairn::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

Buffer random_bytes(std::size_t size) {
  std::mt19937_64 random(7);
  Buffer bytes(size);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

TEST(Contents, AFileSystemIsNotEncrypted) {
  if (!have_program("mkfs.ext4")) GTEST_SKIP() << "mkfs.ext4 is not installed";
  const Sandbox box;
  const auto image = box.sparse_file("disk", 16 * kMiB);
  ASSERT_EQ(run({"mkfs.ext4", "-q", "-F", image.string()}).status, 0);
  const DiskFacts facts = probe(image);
  EXPECT_EQ(facts.encryption(), DiskEncryption::not_encrypted);
  EXPECT_THAT(facts.seen, ElementsAre("ext4"));
}

TEST(Contents, EachPartitionHasToBeKnown) {
  if (!have_program("mkfs.ext4") || !have_program("sfdisk")) GTEST_SKIP() << "mkfs.ext4 or sfdisk is not installed";
  const Sandbox box;
  const auto image = box.sparse_file("disk", 64 * kMiB);
  ASSERT_EQ(run({"sfdisk", "-q", image.string()},
                "label: gpt\nsize=1MiB, type=21686148-6449-6E6F-744E-656564454649\nsize=16MiB\nsize=16MiB\n")
                .status,
            0);
  const auto volume = box.sparse_file("ext4", 16 * kMiB);
  ASSERT_EQ(run({"mkfs.ext4", "-q", "-F", volume.string()}).status, 0);
  write_at(image, 2 * kMiB, read_all(volume));
  write_at(image, 18 * kMiB, read_all(volume));
  const DiskFacts known = probe(image);
  EXPECT_EQ(known.encryption(), DiskEncryption::not_encrypted) << ::testing::PrintToString(known.not_known);
  EXPECT_THAT(known.seen, Contains("ext4 on partition 3"));
  EXPECT_THAT(known.seen, Contains("BIOS boot code on partition 1"));

  write_at(image, 18 * kMiB, random_bytes(16 * kMiB));
  const DiskFacts unknown = probe(image);
  EXPECT_EQ(unknown.encryption(), DiskEncryption::unknown);
  ASSERT_THAT(unknown.not_known, SizeIs(1));
  EXPECT_THAT(unknown.not_known[0], HasSubstr("partition 3"));
  EXPECT_THAT(unknown.not_known[0], HasSubstr("header is kept elsewhere"));
}

TEST(Contents, RandomBytesOutsideOfPartitionsAreNotKnown) {
  if (!have_program("sfdisk")) GTEST_SKIP() << "sfdisk is not installed";
  const Sandbox box;
  const auto image = box.sparse_file("disk", 64 * kMiB);
  ASSERT_EQ(run({"sfdisk", "-q", image.string()}, "label: gpt\n").status, 0);
  EXPECT_EQ(probe(image).encryption(), DiskEncryption::not_encrypted);
  write_at(image, 8 * kMiB, random_bytes(40 * kMiB));
  EXPECT_EQ(probe(image).encryption(), DiskEncryption::unknown);
}

TEST(Contents, WhatIsNotRecognisedIsNotCalledNotEncrypted) {
  const Sandbox box;
  const auto image = box.sparse_file("disk", 16 * kMiB);
  write_at(image, 0, random_bytes(16 * kMiB));
  EXPECT_THAT(probe(image).not_known, ElementsAre(HasSubstr("look random")));
  const auto zeros = box.sparse_file("zeros", 16 * kMiB);
  EXPECT_THAT(probe(zeros).not_known, ElementsAre(HasSubstr("zeros wherever it was sampled")));
  const auto small = box.sparse_file("small", 64 * kKiB);
  EXPECT_EQ(probe(small).encryption(), DiskEncryption::not_encrypted);
}

TEST(Contents, SignaturesOfWhatIsNotLookedIntoAreNamed) {
  const Sandbox box;
  // bcache: its magic at 4096 + 24, offset 8 sectors, no checksum is asked for by libblkid when it is zero; APFS: NXSB.
  const auto apfs = box.sparse_file("apfs", 16 * kMiB);
  Buffer block(4096);
  std::ranges::copy(as_bytes("NXSB"), block.begin() + 32);
  block[24] = 1;     // type: container superblock
  block[37] = 0x10;  // block size 4096
  write_at(apfs, 0, block);
  const DiskFacts facts = probe(apfs);
  EXPECT_EQ(facts.encryption(), DiskEncryption::unknown);
}

TEST(ProbeBudget, IsOneForAllOfTheDisk) {
  const Sandbox box;
  const auto image = box.sparse_file("disk", 64 * kMiB);
  write_at(image, 0, random_bytes(kMiB));
  const UniqueFd fd(::open(image.c_str(), O_RDONLY | O_CLOEXEC));
  FdSource disk(fd.get(), 64 * kMiB, "disk");
  const auto facts = probe_disk(disk, "disk", {.bytes = 100 * kKiB});
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->encryption(), DiskEncryption::unknown);
  EXPECT_THAT(facts->remarks, Contains(HasSubstr("more work than they may")));
}

TEST(ProbeBudget, PartitionsThatShareTheirStartAreLookedAtOnce) {
  NEEDS_CRYPTSETUP();
  const Sandbox box;
  const auto image = box.sparse_file("disk", 64 * kMiB);
  const auto volume = box.sparse_file("volume", 17 * kMiB);
  luks_format(volume, {"--type", "luks1", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"});
  write_at(image, kMiB, ByteView(read_all(volume)).first(4 * kMiB));
  Buffer sector(512);
  for (std::size_t slot = 0; slot < 4; ++slot) {
    const std::size_t at = 446 + 16 * slot;
    sector[at + 4] = 0x83;
    sector[at + 9] = 8;    // start: 2048 sectors
    sector[at + 13] = 64;  // 16384 sectors
  }
  sector[510] = 0x55;
  sector[511] = 0xAA;
  write_at(image, 0, sector);
  const DiskFacts facts = probe(image);
  EXPECT_THAT(facts.volumes, SizeIs(1));
  EXPECT_THAT(facts.remarks, Contains(HasSubstr("begins where another does")));
}

TEST(LuksJson, BombsAreNotParsed) {
  NEEDS_CRYPTSETUP();
  const Sandbox box;
  const auto image = box.sparse_file("disk", 40 * kMiB);
  luks_format(image, {"--type", "luks2", "--luks2-metadata-size", "4096k", "--pbkdf", "pbkdf2",
                      "--pbkdf-force-iterations", "1000"});
  Buffer area = read_all(image);
  area.resize(8 * kMiB);
  std::string bomb = "{\"keyslots\":[";
  while (bomb.size() < 3 * kMiB) bomb += "0,";
  for (const std::size_t at : {std::size_t{0}, std::size_t{4 * kMiB}}) {
    std::ranges::copy(as_bytes(bomb), area.begin() + static_cast<std::ptrdiff_t>(at + 4096));
    repair_luks2(area, at, 4 * kMiB);
  }
  write_at(image, 0, area);
  const DiskFacts facts = probe(image);
  ASSERT_THAT(facts.volumes, SizeIs(1));
  EXPECT_THAT(facts.volumes[0].damage, HasSubstr("more than 16384 values"));
}

TEST(LuksJson, CountsValuesAndDepth) {
  Buffer copy(16384);
  EXPECT_EQ(luks2_json_excess(copy), "");
  std::fill(copy.begin() + 4096, copy.begin() + 4096 + 33, std::uint8_t{'['});
  EXPECT_THAT(luks2_json_excess(copy), HasSubstr("nested"));
  EXPECT_EQ(luks2_json_excess(ByteView(copy).first(4096)), "");
}

}  // namespace
}  // namespace cairn::testing
