// SPDX-License-Identifier: GPL-3.0-or-later
// Headers that a hostile or broken guest left: random changes, impossible sizes, texts that are none. Whatever is
// found, the facts must be printable and header areas must lie inside the volume.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "crypto/volume/fve_metadata.h"
#include "crypto/volume/volume_source.h"
#include "tests/crypto/volume/probe.h"
#include "tests/support/bitlocker_volume.h"

namespace cairn::testing {
namespace {

using ::testing::SizeIs;

constexpr int kRounds = 400;

void expect_sane(const DiskFacts& facts) {
  for (const VolumeFacts& volume : facts.volumes) {
    for (const std::string* text : {&volume.uuid, &volume.label, &volume.cipher, &volume.damage})
      EXPECT_EQ(*text, printable(*text));
    std::uint64_t end = 0;
    for (const ByteRange& range : volume.header) {
      EXPECT_GE(range.offset, end);
      EXPECT_GT(range.size, 0U);
      end = range.offset + range.size;
      EXPECT_LE(end, volume.place.size);
    }
    EXPECT_LE(volume.slots.size(), 5000U);
  }
  for (const std::string& remark : facts.remarks) EXPECT_EQ(remark, printable(remark));
}

// Changes some bytes in the `areas` of a sparse image, probes, and puts them back. `repair` makes checksums right
// again.
void shake(const std::filesystem::path& image, const std::vector<ByteRange>& areas, int rounds,
           const std::function<void(MutableBytes)>& repair = {}) {
  std::mt19937_64 random(seed());
  const Buffer sound = read_all(image);
  Buffer bytes = sound;
  const UniqueFd fd(::open(image.c_str(), O_RDONLY | O_CLOEXEC));
  for (int round = 0; round < rounds; ++round) {
    SCOPED_TRACE(round);
    bytes = sound;
    const std::size_t changes = 1 + random() % 8;
    for (std::size_t i = 0; i < changes; ++i) {
      const ByteRange& area = areas[random() % areas.size()];
      const std::uint64_t at = area.offset + random() % area.size;
      bytes[at] = random() % 3 == 0 ? static_cast<std::uint8_t>(random())
                                    : static_cast<std::uint8_t>(bytes[at] ^ (1U << (random() % 8)));
    }
    if (repair) repair(bytes);
    write_at(image, 0, bytes);
    const auto facts = probe_disk(fd.get(), bytes.size(), image.string());
    ASSERT_TRUE(facts);
    expect_sane(*facts);
  }
}

TEST(Hostile, Luks1HeaderWithRandomChanges) {
  NEEDS_CRYPTSETUP();
  const Sandbox box;
  const auto image = box.sparse_file("disk", 3 * kMiB);
  luks_format(image, {"--type", "luks1", "--pbkdf-force-iterations", "1000"});
  std::filesystem::resize_file(image, 64 * kKiB);
  shake(image, {{0, 592}}, kRounds);
}

struct HostileLuks2 : ::testing::Test {
  void SetUp() override {
    NEEDS_CRYPTSETUP();
    image = box.sparse_file("disk", 1 * kMiB);
    luks_format(image, {"--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
                        "--luks2-keyslots-size", "256k", "--offset", "1024"});
    std::filesystem::resize_file(image, 600 * kKiB);
  }
  Sandbox box;
  std::filesystem::path image;
};

TEST_F(HostileLuks2, HeaderWithRandomChanges) {
  shake(image, {{0, 512}, {4096, 1024}, {16384, 512}, {16384 + 4096, 1024}}, kRounds);
}

TEST_F(HostileLuks2, HeaderWithRandomChangesAndRightChecksums) {
  shake(image, {{0, 448}, {4096, 1024}}, kRounds, [](MutableBytes bytes) {
    // Both copies say the same, so nothing saves libcryptsetup from reading it.
    std::copy_n(bytes.begin() + 4096, 12288, bytes.begin() + 16384 + 4096);
    repair_luks2(bytes, 0, 16384);
    repair_luks2(bytes, 16384, 16384);
  });
}

TEST_F(HostileLuks2, Json) {
  const Buffer sound = read_all(image);
  const std::string deep(12000, '[');
  for (
      const std::string& json :
      {std::string("{}"), std::string("[]"), std::string("null"), deep, std::string(12287, ' '),
       std::string("{\"keyslots\":"),
       std::string(
           R"({"keyslots":{},"tokens":{},"segments":{},"digests":{},"config":{"json_size":"12288","keyslots_size":"0"}})"),
       std::string(
           R"({"keyslots":{},"tokens":{},"segments":{},"digests":{},"config":{"json_size":"18446744073709551615","keyslots_size":"18446744073709551615"}})"),
       std::string("{\"a\":\"\xff\xfe\"}")}) {
    Buffer bytes = sound;
    for (const std::size_t at : {std::size_t{0}, std::size_t{16384}}) {
      std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at) + 4096, 12288, std::uint8_t{0});
      std::copy(json.begin(), json.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at) + 4096);
      repair_luks2(bytes, at, 16384);
    }
    write_at(image, 0, bytes);
    const DiskFacts facts = probe(image);
    expect_sane(facts);
    ASSERT_THAT(facts.volumes, SizeIs(1)) << json.substr(0, 80);
    EXPECT_NE(facts.volumes[0].damage, "") << json.substr(0, 80);
  }
}

TEST_F(HostileLuks2, LabelThatIsNoTextBecomesPrintable) {
  Buffer bytes = read_all(image);
  const std::string label = "a\xff\x1b[31m\n\xc3\xa9";
  for (const std::size_t at : {std::size_t{0}, std::size_t{16384}}) {
    std::copy(label.begin(), label.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at) + 24);
    repair_luks2(bytes, at, 16384);
  }
  write_at(image, 0, bytes);
  const DiskFacts facts = probe(image);
  ASSERT_THAT(facts.volumes, SizeIs(1));
  EXPECT_EQ(facts.volumes[0].label, "a??[31m?\xc3\xa9");
}

TEST(Hostile, BitlockerWithRandomChanges) {
  const Sandbox box;
  const auto volume = make_bitlocker_volume({.size = 4 * kMiB, .key_rounds = 1});
  const auto image = box / "disk";
  write_at(image, 0, volume.bytes);
  shake(image, {{0, 512}, {volume.blocks[0], 900}, {volume.blocks[1], 900}, {volume.blocks[2], 900}}, kRounds);
}

TEST(Hostile, BitlockerWithRandomChangesAndRightChecksums) {
  const Sandbox box;
  const auto volume = make_bitlocker_volume({.size = 4 * kMiB, .key_rounds = 1});
  const auto image = box / "disk";
  write_at(image, 0, volume.bytes);
  shake(image, {{volume.blocks[0], 64}, {volume.blocks[0] + 64, 800}}, kRounds, [&](MutableBytes bytes) {
    const MutableBytes block = bytes.subspan(volume.blocks[0], kFveBlockBytes);
    if (std::size_t{16} * get_le<std::uint16_t>(block.subspan(8)) + 8 <= block.size()) repair_checksum(block);
  });
}

TEST(Hostile, PartitionTablesWithRandomChanges) {
  if (!have_program("sfdisk")) GTEST_SKIP() << "sfdisk is not installed";
  const Sandbox box;
  for (const char* script :
       {"label: gpt\nsize=1MiB\nsize=1MiB\n",
        "label: dos\nsize=1MiB, type=83\nsize=4MiB, type=5\n5: size=1MiB, type=83\n6: size=1MiB, type=83\n"}) {
    const auto image = box.sparse_file("disk", 8 * kMiB);
    ASSERT_EQ(run({"sfdisk", "-q", image.string()}, script).status, 0);
    shake(image, {{446, 66}, {512, 92}, {1024, 256}, {8 * kMiB - 512, 92}, {2 * kMiB + 446, 66}}, kRounds / 2);
  }
}

TEST(Hostile, NoiseIsNotAVolume) {
  std::mt19937_64 random(seed());
  for (int round = 0; round < 200; ++round) {
    Buffer block(200 + random() % 2000);
    for (auto& byte : block) byte = static_cast<std::uint8_t>(random());
    std::copy_n("-FVE-FS-", 8, block.begin());
    const FveBlock parsed = parse_fve_block(block);
    EXPECT_FALSE(parsed.sound);
    EXPECT_EQ(parsed.description, printable(parsed.description));
  }
}

TEST(Printable, KeepsTextAndReplacesTheRest) {
  EXPECT_EQ(printable("plain"), "plain");
  EXPECT_EQ(printable("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"),
            "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
  EXPECT_EQ(printable(std::string_view("ends\0here", 9)), "ends");
  EXPECT_EQ(printable("\xc0\xaf"), "??");            // not the shortest form
  EXPECT_EQ(printable("\xed\xa0\x80"), "???");       // a surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "????");  // beyond Unicode
  EXPECT_EQ(printable("cut\xe2\x82"), "cut??");
  EXPECT_EQ(printable_utf16(*from_hex("41003dd800de3dd8")), "A\xf0\x9f\x98\x80?");
}

}  // namespace
}  // namespace cairn::testing
