// SPDX-License-Identifier: GPL-3.0-or-later
// Unlocking: BEKs on headers of cryptsetup's, of Windows' and of our own making. Each image is compared with what it
// was before.
#include "crypto/volume/unlock.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "crypto/chunk_name.h"
#include "crypto/volume/fve_metadata.h"
#include "tests/crypto/volume/probe.h"
#include "tests/support/bitlocker_volume.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

SecretBytes secret(std::string_view text) {
  start_crypto();
  return SecretBytes::copy_of(as_bytes(text));
}

// Unlocks from the image's bytes, and checks that only header areas are asked for and nothing is written.
Result<UnlockedVolume> unlock(const std::filesystem::path& image, const VolumeFacts& facts, BekType type,
                              const SecretBytes& bek) {
  const std::string before = Blake3::hex_of(read_all(image));
  const UniqueFd fd(::open(image.c_str(), O_RDONLY | O_CLOEXEC));
  const ReadHeader read = [&](std::uint64_t offset, MutableBytes to) -> Result<void> {
    const auto inside = [&](const ByteRange& range) {
      return offset >= range.offset && offset + to.size() <= range.offset + range.size;
    };
    EXPECT_TRUE(std::any_of(facts.header.begin(), facts.header.end(), inside)) << offset << "+" << to.size();
    std::fill(to.begin(), to.end(), std::uint8_t{0});
    if (::pread(fd.get(), to.data(), to.size(), static_cast<off_t>(facts.place.offset + offset)) < 0)
      return fail_errno(errno, "read", image.string());
    return {};
  };
  auto unlocked = unlock_volume(facts, read, type, bek, "web-01/root");
  EXPECT_EQ(Blake3::hex_of(read_all(image)), before) << "the image was changed";
  if (!unlocked) {
    EXPECT_THAT(unlocked.error().message(), HasSubstr("web-01/root"));
  }
  return unlocked;
}

Result<UnlockedVolume> unlock(const std::filesystem::path& image, BekType type, std::string_view bek) {
  const DiskFacts facts = probe(image);
  EXPECT_THAT(facts.volumes, SizeIs(1));
  if (facts.volumes.empty()) return fail(ErrorCode::internal, "find", "volume");
  return unlock(image, facts.volumes[0], type, secret(bek));
}

std::string why(const Result<UnlockedVolume>& unlocked, ErrorCode code) {
  if (unlocked) return "it opened";
  EXPECT_EQ(unlocked.error().code, code) << unlocked.error().message();
  return unlocked.error().because;
}

// The volume key in hexadecimal, as cryptsetup prints it.
std::string dumped_key(const std::filesystem::path& image, const std::string& command, std::string_view bek) {
  const std::string dump =
      run({"cryptsetup", command, "--dump-volume-key", "-q", "--key-file", "-", image.string()}, bek).output;
  std::string hex;
  bool in_key = false;
  std::istringstream lines(dump);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos) in_key = line.starts_with("MK dump") || line.starts_with("Volume Key");
    if (!in_key) continue;
    for (const char c : colon == std::string::npos ? line : line.substr(colon + 1))
      if (std::isxdigit(static_cast<unsigned char>(c)) != 0) hex.push_back(c);
  }
  return hex;
}

struct UnlockLuks : ::testing::Test {
  void SetUp() override { NEEDS_CRYPTSETUP(); }
  void make(const std::string& type, std::vector<std::string> options = kCheap) {
    options.insert(options.end(), {"--type", type});
    luks_format(image, options);
  }
  Sandbox box;
  std::filesystem::path image = box.sparse_file("disk", 20 * kMiB);
};

TEST_F(UnlockLuks, GivesTheVolumeKeyThatCryptsetupGives) {
  for (const std::string type : {"luks1", "luks2"}) {
    SCOPED_TRACE(type);
    make(type);
    const auto unlocked = unlock(image, BekType::luks_passphrase, kPassphrase);
    ASSERT_TRUE(unlocked) << unlocked.error().message();
    EXPECT_EQ(unlocked->slot, 0);
    const std::string expected = dumped_key(image, "luksDump", kPassphrase);
    ASSERT_THAT(expected, SizeIs(128));
    EXPECT_EQ(to_hex(unlocked->volume_key.reveal()), expected);
  }
}

TEST_F(UnlockLuks, OpensArgon2id) {
  make("luks2", kCheapArgon);
  EXPECT_TRUE(unlock(image, BekType::luks_key_file, kPassphrase));
}

TEST_F(UnlockLuks, TellsTheSlotThatOpened) {
  for (const std::string type : {"luks1", "luks2"}) {
    SCOPED_TRACE(type);
    make(type);
    std::vector<std::string> options = kCheap;
    options.insert(options.end(), {"--key-slot", "5"});
    luks_add_key(image, options);
    EXPECT_EQ(unlock(image, BekType::luks_passphrase, "second")->slot, 5);
    EXPECT_EQ(unlock(image, BekType::luks_passphrase, kPassphrase)->slot, 0);
  }
}

TEST_F(UnlockLuks, AWrongKeyDoesNotOpen) {
  for (const std::string type : {"luks1", "luks2"}) {
    make(type);
    EXPECT_EQ(why(unlock(image, BekType::luks_passphrase, "wrong"), ErrorCode::bek_does_not_open),
              "it opens none of 1 key slot");
    EXPECT_EQ(why(unlock(image, BekType::luks_key_file, std::string(kPassphrase) + "\n"), ErrorCode::bek_does_not_open),
              "it opens none of 1 key slot");
  }
}

TEST_F(UnlockLuks, ABekOfBitlockerIsRefusedPlainly) {
  make("luks2");
  EXPECT_EQ(why(unlock(image, BekType::bitlocker_password, kPassphrase), ErrorCode::bek_does_not_open),
            "the BEK is a BitLocker password, and the volume is LUKS2");
}

TEST_F(UnlockLuks, OpensByTheOtherHeaderWhenOneIsDamaged) {
  make("luks2");
  const Buffer sound = read_all(image);
  for (const std::uint64_t at : {4096 + 100, 0x4000 + 4096 + 100}) {
    write_at(image, 0, ByteView(sound).first(64 * kKiB));
    write_at(image, at, Buffer(16, 0xA5));
    EXPECT_THAT(probe(image).volumes.at(0).damage, HasSubstr("is damaged; the"));
    EXPECT_TRUE(unlock(image, BekType::luks_passphrase, kPassphrase));
  }
}

TEST_F(UnlockLuks, ADamagedHeaderIsAnErrorOfItsOwn) {
  make("luks2");
  write_at(image, 4096 + 100, Buffer(16, 0xA5));
  write_at(image, 0x4000 + 4096 + 100, Buffer(16, 0xA5));
  EXPECT_THAT(why(unlock(image, BekType::luks_passphrase, kPassphrase), ErrorCode::header_damaged),
              HasSubstr("no sound header is left"));
  make("luks1");
  write_at(image, 108, Buffer(4, 0xFF));  // bytes of the key
  EXPECT_THAT(why(unlock(image, BekType::luks_passphrase, kPassphrase), ErrorCode::header_damaged),
              Not(HasSubstr("\n")));
}

TEST_F(UnlockLuks, ATruncatedHeaderDoesNotOpen) {
  for (const std::string type : {"luks1", "luks2"}) {
    make(type);
    std::filesystem::resize_file(image, 20 * kKiB);
    EXPECT_THAT(why(unlock(image, BekType::luks_passphrase, kPassphrase), ErrorCode::header_damaged),
                Not(HasSubstr("opened")));
    std::filesystem::resize_file(image, 20 * kMiB);
  }
}

TEST_F(UnlockLuks, KeyMaterialThatIsGoneDoesNotOpen) {
  make("luks2");
  write_at(image, 0x8000, Buffer(256 * kKiB, 0));
  EXPECT_FALSE(unlock(image, BekType::luks_passphrase, kPassphrase));
}

TEST_F(UnlockLuks, InsideAPartition) {
  if (!have_program("sfdisk")) GTEST_SKIP() << "sfdisk is not installed";
  make("luks2");
  const Buffer volume = read_all(image);
  const auto disk = box.sparse_file("whole", 32 * kMiB);
  ASSERT_EQ(run({"sfdisk", "-q", disk.string()}, "label: gpt\nsize=4MiB\nsize=20MiB\n").status, 0);
  write_at(disk, 5 * kMiB, volume);
  const DiskFacts facts = probe(disk);
  ASSERT_THAT(facts.volumes, SizeIs(1));
  EXPECT_EQ(facts.volumes[0].partition, 2U);
  EXPECT_TRUE(unlock(disk, facts.volumes[0], BekType::luks_passphrase, secret(kPassphrase)));
}

TEST_F(UnlockLuks, ReadErrorsArePassedOn) {
  make("luks2");
  const VolumeFacts facts = probe(image).volumes.at(0);
  const ReadHeader read = [](std::uint64_t, MutableBytes) -> Result<void> {
    return fail(ErrorCode::chunk_damaged, "read", "chunk");
  };
  const auto unlocked = unlock_volume(facts, read, BekType::luks_passphrase, secret(kPassphrase), "web-01/root");
  ASSERT_FALSE(unlocked);
  EXPECT_EQ(unlocked.error().code, ErrorCode::chunk_damaged);
}

TEST_F(UnlockLuks, WorkThatNeverEndsIsNotBegun) {
  make("luks1");
  // The slot's iterations (208 + 4), then the digest's (164), big-endian: hours.
  for (const std::uint64_t at : {212, 164}) {
    const Buffer sound = read_all(image);
    write_at(image, at, Buffer{0xFF, 0xFF, 0xFF, 0xFF});
    EXPECT_THAT(why(unlock(image, BekType::luks_passphrase, kPassphrase), ErrorCode::header_damaged),
                HasSubstr("key slot 0 is not tried: it asks for about 429"));
    write_at(image, 0, ByteView(sound).first(4096));
  }
  EXPECT_TRUE(unlock(image, BekType::luks_passphrase, kPassphrase));
}

TEST_F(UnlockLuks, WorkThatNeverEndsIsNotBegunInLuks2) {
  for (const std::string of : {"keyslots", "digests"}) {
    make("luks2");
    // As a hostile guest would: other JSON in both copies, with the right checksums.
    for (const std::uint64_t copy : {0, 0x4000}) {
      Buffer header = read_all(image);
      header = Buffer(header.begin() + static_cast<std::ptrdiff_t>(copy),
                      header.begin() + static_cast<std::ptrdiff_t>(copy) + 0x4000);
      auto json = nlohmann::json::parse(reinterpret_cast<const char*>(header.data()) + 4096);
      if (of == "keyslots")
        json[of]["0"]["kdf"]["iterations"] = 2000000000;
      else
        json[of]["0"]["iterations"] = 2000000000;
      const std::string text = json.dump();
      std::fill(header.begin() + 4096, header.end(), std::uint8_t{0});
      std::copy(text.begin(), text.end(), header.begin() + 4096);
      mend_luks2(header, 0, header.size());
      write_at(image, copy, header);
    }
    EXPECT_THAT(why(unlock(image, BekType::luks_passphrase, kPassphrase), ErrorCode::header_damaged),
                HasSubstr("key slot 0 is not tried: it asks for about 2000 s of work"));
  }
}

TEST_F(UnlockLuks, SlotsThatAskForTooMuchMemoryAreNotTried) {
  make("luks2",
       {"--pbkdf", "argon2id", "--pbkdf-memory", "65536", "--pbkdf-force-iterations", "4", "--pbkdf-parallel", "1"});
  const auto facts = probe(image).volumes.at(0);
  const ReadHeader read = [&](std::uint64_t offset, MutableBytes to) -> Result<void> {
    const Buffer bytes = read_all(image);
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), to.size(), to.begin());
    return {};
  };
  const auto with = [&](std::uint64_t memory) {
    return unlock_volume(facts, read, BekType::luks_passphrase, secret(kPassphrase), "web-01/root", {300, memory});
  };
  const auto refused = with(32 * kMiB);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(refused.error().because, HasSubstr("key slot 0 needs 64.0 MiB"));
  EXPECT_TRUE(with(64 * kMiB));
  EXPECT_TRUE(with(0)) << "this host has more than 86 MiB";
}

#if !defined(__SANITIZE_ADDRESS__)  // which needs the address space that is taken away here
TEST_F(UnlockLuks, MoreMemoryThanThereIsIsAnErrorAndNoCrash) {
  make("luks2",
       {"--pbkdf", "argon2id", "--pbkdf-memory", "524288", "--pbkdf-force-iterations", "4", "--pbkdf-parallel", "1"});
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit little{256 * kMiB, 256 * kMiB};
    ::setrlimit(RLIMIT_AS, &little);
    const auto unlocked = unlock(image, BekType::luks_passphrase, kPassphrase);
    const bool told = !unlocked && unlocked.error().code == ErrorCode::out_of_memory &&
                      unlocked.error().because.find("key slot 0 needs 512 MiB") != std::string::npos;
    if (!told) std::fputs(unlocked ? "it opened\n" : (unlocked.error().message() + "\n").c_str(), stderr);
    ::_exit(told ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}
#endif

struct UnlockBitlocker : ::testing::Test {
  void make(bool to_go = false) {
    volume = make_bitlocker_volume({.size = 4 * kMiB, .startup_key = true, .to_go = to_go});
    write_at(image, 0, volume.bytes);
  }
  void change(std::size_t number, std::size_t at, const Buffer& bytes, bool checksum = false) {
    const MutableBytes block = MutableBytes(volume.bytes).subspan(volume.blocks[number], kFveBlockBytes);
    std::copy(bytes.begin(), bytes.end(), block.begin() + static_cast<std::ptrdiff_t>(at));
    if (checksum) mend_checksum(block);
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
