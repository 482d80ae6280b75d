// SPDX-License-Identifier: GPL-3.0-or-later
// Unlocking BitLocker: BEKs on volumes of Windows' and of our own making.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "config/base/units.h"
#include "crypto/volume/fve_metadata.h"
#include "tests/crypto/volume/unlocking.h"
#include "tests/support/bitlocker_volume.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

struct UnlockBitlocker : ::testing::Test {
  void make(bool to_go = false) {
    volume = make_bitlocker_volume({.size = 4 * kMiB, .startup_key = true, .to_go = to_go});
    write_at(image, 0, volume.bytes);
  }
  void change(std::size_t number, std::size_t at, const Buffer& bytes, bool checksum = false) {
    const MutableBytes block = MutableBytes(volume.bytes).subspan(volume.blocks[number], kFveBlockBytes);
    std::copy(bytes.begin(), bytes.end(), block.begin() + static_cast<std::ptrdiff_t>(at));
    if (checksum) repair_checksum(block);
    write_at(image, 0, volume.bytes);
  }
  // Where the entry of that type lies in a block, the `skip`th of them.
  [[nodiscard]] std::size_t entry(std::uint16_t type, int skip = 0) const {
    std::size_t at = 112;
    const ByteView block = ByteView(volume.bytes).subspan(volume.blocks[0], kFveBlockBytes);
    while (get_le<std::uint16_t>(block.subspan(at + 2)) != type || skip-- > 0) {
      const auto size = get_le<std::uint16_t>(block.subspan(at));
      CAIRN_ASSERT(size != 0);
      at += size;
    }
    return at;
  }
  Result<UnlockedVolume> by_startup_key() {
    return unlock(image, BekType::bitlocker_startup_key, as_text(volume.startup_key));
  }
  ReadHeader reader() {
    return [this](std::uint64_t offset, MutableBytes to) -> Result<void> {
      std::copy_n(volume.bytes.begin() + static_cast<std::ptrdiff_t>(offset), to.size(), to.begin());
      return {};
    };
  }
  Sandbox box;
  std::filesystem::path image = box / "disk";
  BitlockerVolume volume;
};

TEST_F(UnlockBitlocker, OpensByEveryKindOfBek) {
  for (const bool to_go : {false, true}) {
    make(to_go);
    std::string key;
    const auto opens_by = [&](BekType type, std::string_view bek) {
      const auto unlocked = unlock(image, type, bek);
      ASSERT_TRUE(unlocked) << unlocked.error().message();
      EXPECT_EQ(unlocked->slot, -1);
      EXPECT_EQ(unlocked->volume_key.size(), 32U);
      if (!key.empty()) {
        EXPECT_EQ(to_hex(unlocked->volume_key.reveal()), key);
      }
      key = to_hex(unlocked->volume_key.reveal());
    };
    opens_by(BekType::bitlocker_password, "cairn test volume");
    opens_by(BekType::bitlocker_recovery_password, volume.recovery_password);
    opens_by(BekType::bitlocker_startup_key, as_text(volume.startup_key));
  }
}

TEST_F(UnlockBitlocker, TheWorkOfProtectorsIsCountedAndNotBegunBeyondWhatIsLeft) {
  make();
  const auto facts = probe(image).volumes.at(0);
  double left = 0.5;
  UnlockLimits limits;
  limits.left = &left;
  const auto with = [&](BekType type, std::string_view bek) {
    return unlock_volume(facts, reader(), type, secret(bek), "win/c", limits);
  };
  for (const auto& [type, bek] : {std::pair(BekType::bitlocker_recovery_password, volume.recovery_password),
                                  std::pair(BekType::bitlocker_password, std::string("cairn test volume"))}) {
    left = 0.5;
    EXPECT_THAT(why(with(type, bek), ErrorCode::header_damaged), HasSubstr("and 0 s are left"));
    EXPECT_EQ(left, 0.5) << "nothing was done for it";
    left = 10;
    EXPECT_TRUE(with(type, bek));
    EXPECT_EQ(left, 9.0);
  }
  left = 0;
  EXPECT_TRUE(with(BekType::bitlocker_startup_key, as_text(volume.startup_key))) << "which costs nothing";
}

// A guest may write as many protectors as fit into its metadata.
TEST_F(UnlockBitlocker, ManyProtectorsCostAsManySeconds) {
  make();
  VolumeFacts facts = probe(image).volumes.at(0);
  for (int i = 0; i < 300; ++i) facts.slots.push_back({-1, "recovery-password"});
  EXPECT_THAT(why(unlock_volume(facts, reader(), BekType::bitlocker_recovery_password, secret(volume.recovery_password),
                                "win/c"),
                  ErrorCode::header_damaged),
              HasSubstr("its protectors ask for about 301 s of work, and 300 s are left"));
}

TEST_F(UnlockBitlocker, WrongBeksAreToldApart) {
  make();
  EXPECT_EQ(why(unlock(image, BekType::bitlocker_password, "wrong"), ErrorCode::bek_does_not_open),
            "it is not the volume's password");
  EXPECT_THAT(why(unlock(image, BekType::bitlocker_password, "l\xc3\xb6senord"), ErrorCode::bek_does_not_open),
              HasSubstr("letters other than ASCII"));
  EXPECT_THAT(why(unlock(image, BekType::bitlocker_recovery_password,
                         "000000-000011-720885-111111-222222-333333-444444-555555"),
                  ErrorCode::bek_does_not_open),
              HasSubstr("recovery password of another volume"));
  Buffer other = make_startup_key(Buffer(16, 7), Buffer(32, 7));
  EXPECT_THAT(why(unlock(image, BekType::bitlocker_startup_key, as_text(other)), ErrorCode::bek_does_not_open),
              HasSubstr("startup key of another volume"));
  EXPECT_EQ(why(unlock(image, BekType::luks_key_file, "key"), ErrorCode::bek_does_not_open),
            "the BEK is a LUKS key file, and the volume is BitLocker");
}

TEST_F(UnlockBitlocker, ADamagedBekFileIsNotShownToLibcryptsetup) {
  make();
  Buffer short_key = make_startup_key(ByteView(volume.startup_key).subspan(16, 16), Buffer(4, 7));
  for (const BekType type : {BekType::bitlocker_startup_key, BekType::bitlocker_password})
    EXPECT_THAT(why(unlock(image, type, as_text(short_key)), ErrorCode::bek_does_not_open),
                HasSubstr("damaged .BEK file"));
}

TEST_F(UnlockBitlocker, AnySoundBlockOpens) {
  for (const bool to_go : {false, true}) {
    make(to_go);
    for (std::size_t damaged = 0; damaged < 2; ++damaged) {
      change(damaged, 0, Buffer(8, 0));
      const auto unlocked = by_startup_key();
      EXPECT_TRUE(unlocked) << unlocked.error().message();
    }
    change(2, 0, Buffer(8, 0));
    EXPECT_THAT(why(by_startup_key(), ErrorCode::header_damaged), HasSubstr("none of the three"));
  }
}

TEST_F(UnlockBitlocker, ABlockWhoseChecksumIsWrongStandsBehindASoundOne) {
  make();
  // The sealed volume key of the first block: it would open nothing.
  change(0, entry(3) + 40, Buffer(4, 0xA5));
  EXPECT_TRUE(by_startup_key());
  change(1, 0, Buffer(8, 0));
  change(2, 0, Buffer(8, 0));
  EXPECT_FALSE(by_startup_key());
}

TEST_F(UnlockBitlocker, OffsetsThatAreGoneDoNotMatterWhileOneIsLeft) {
  make();
  write_at(image, 176, Buffer(8, 0xFF));
  EXPECT_TRUE(by_startup_key());
}

TEST_F(UnlockBitlocker, SealedKeysOfImpossibleSizesAreNotOpened) {
  make();
  // Each change looks meant: its checksum is right, in all three blocks.
  const auto refused = [&](std::size_t at, const Buffer& bytes) {
    make();
    for (std::size_t block = 0; block < 3; ++block) change(block, at, bytes, true);
    EXPECT_THAT(why(by_startup_key(), ErrorCode::header_damaged), HasSubstr("none of the three"));
  };
  refused(entry(2, 2) + 8 + 28 + 4, {9, 0});  // the startup key's protector: its sealed key is something else
  refused(entry(3) + 2, {0x42, 0});           // no volume key
  make();
  // A volume key that is shorter than its cipher's, the rest an entry of its own.
  const std::size_t key_at = entry(3);
  Buffer shorter(volume.bytes.begin() + static_cast<std::ptrdiff_t>(volume.blocks[0] + key_at),
                 volume.bytes.begin() + static_cast<std::ptrdiff_t>(volume.blocks[0] + key_at + 80));
  put_le(MutableBytes(shorter), std::uint16_t{8 + 28 + 20});
  put_le(MutableBytes(shorter).subspan(56), std::uint16_t{24});
  put_le(MutableBytes(shorter).subspan(58), std::uint16_t{0x42});
  refused(key_at, shorter);
}

TEST_F(UnlockBitlocker, TheVolumeMustStillBeThere) {
  make();
  const VolumeFacts facts = probe(image).volumes.at(0);
  write_at(image, 0, Buffer(512, 0));
  EXPECT_THAT(
      why(unlock(image, facts, BekType::bitlocker_password, secret("cairn test volume")), ErrorCode::header_damaged),
      HasSubstr("boot sector is not BitLocker's"));
}

TEST_F(UnlockBitlocker, AClearKeyOpensWithoutASecret) {
  for (const bool alone : {false, true}) {
    BitlockerOptions options{.size = 4 * kMiB, .startup_key = !alone, .clear_key = true, .recovery = !alone};
    if (alone) options.password.clear();
    volume = make_bitlocker_volume(options);
    write_at(image, 0, volume.bytes);
    const VolumeFacts facts = probe(image).volumes.at(0);
    EXPECT_TRUE(has_clear_key(facts));
    const auto opened = unlock_without_secret(facts, reader(), "disk");
    ASSERT_TRUE(opened) << opened.error().message();
    EXPECT_EQ(opened->slot, -1);
    if (!alone) {
      EXPECT_EQ(to_hex(opened->volume_key.reveal()), to_hex(by_startup_key()->volume_key.reveal()));
    }
    // By another block when the first is damaged.
    change(0, 0, Buffer(8, 0));
    EXPECT_TRUE(unlock_without_secret(facts, reader(), "disk"));
  }
}

TEST_F(UnlockBitlocker, AClearKeyThatSealsNothingOpensNothing) {
  volume = make_bitlocker_volume({.size = 4 * kMiB, .clear_key = true});
  write_at(image, 0, volume.bytes);
  const VolumeFacts facts = probe(image).volumes.at(0);
  const std::size_t protector = entry(2, 2);
  // The key, what it seals, and the volume key, each altered in all blocks.
  for (const std::size_t at : {protector + 36 + 8 + 4, protector + 36 + 44 + 8 + 30, entry(3) + 40}) {
    const BitlockerVolume whole = volume;
    for (std::size_t block = 0; block < 3; ++block) change(block, at, Buffer(4, 0xA5), true);
    EXPECT_EQ(why(unlock_without_secret(facts, reader(), "disk"), ErrorCode::bek_does_not_open),
              "the clear key on it does not open what it seals");
    volume = whole;
  }
  make();
  EXPECT_FALSE(has_clear_key(probe(image).volumes.at(0)));
  EXPECT_THAT(why(unlock_without_secret(probe(image).volumes.at(0), reader(), "disk"), ErrorCode::bek_does_not_open),
              HasSubstr("no key that needs no secret"));
}

struct WindowsBeks {
  std::string image, password, recovery_password, startup_key;  // empty: none
};

// The table in the test data's README.md: image, cipher, password, recovery password, .BEK file.
std::vector<WindowsBeks> read_beks(const std::filesystem::path& table) {
  std::vector<WindowsBeks> beks;
  std::ifstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("|") || line.find(".img") == std::string::npos) continue;
    std::vector<std::string> cells;
    std::istringstream row(line.substr(1));
    for (std::string cell; std::getline(row, cell, '|');) {
      cell = cell.substr(1, cell.size() - 2);
      cells.push_back(cell == "-" ? "" : cell);
    }
    if (cells.size() >= 5) beks.push_back({cells[0], cells[2], cells[3], cells[4]});
  }
  return beks;
}

TEST(UnlockBitlockerOfWindows, OpensByEveryBek) {
  NEEDS_CRYPTSETUP();
  const Sandbox box;
  std::string skip;
  const auto data = unpack_windows_volumes(box, skip);
  if (data.empty()) GTEST_SKIP() << skip;
  start_crypto();
  const auto beks = read_beks(data / "README.md");
  ASSERT_THAT(beks, SizeIs(4));
  for (const WindowsBeks& of : beks) {
    SCOPED_TRACE(of.image);
    const auto image = data / of.image;
    std::string key;
    const auto opens_by = [&](BekType type, const std::string& bek) {
      if (bek.empty()) return;
      const auto unlocked = unlock(image, type, bek);
      ASSERT_TRUE(unlocked) << unlocked.error().message();
      EXPECT_EQ(unlocked->volume_key.size() * 8, probe(image).volumes.at(0).key_bits);
      if (key.empty()) key = dumped_key(image, "bitlkDump", bek);
      EXPECT_EQ(to_hex(unlocked->volume_key.reveal()), key);
    };
    opens_by(BekType::bitlocker_password, of.password);
    opens_by(BekType::bitlocker_recovery_password, of.recovery_password);
    if (!of.startup_key.empty()) {
      const SecretBytes file = SecretBytes::copy_of(read_all(data / of.startup_key));
      EXPECT_EQ(bitlocker_bek_type(file), BekType::bitlocker_startup_key);
      EXPECT_EQ(*startup_key_id(file, of.startup_key) + ".BEK", of.startup_key);
      opens_by(BekType::bitlocker_startup_key, std::string(as_text(file.reveal())));
    }
    // By its second and its third metadata block too.
    const DiskFacts facts = probe(image);
    for (const std::size_t area : {1U, 2U}) {
      write_at(image, facts.volumes[0].header[area].offset, Buffer(8, 0));
      opens_by(BekType::bitlocker_recovery_password, of.recovery_password);
    }
  }
}

}  // namespace
}  // namespace cairn::testing
