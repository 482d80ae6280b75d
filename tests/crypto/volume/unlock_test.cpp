// SPDX-License-Identifier: GPL-3.0-or-later
// Unlocking LUKS: BEKs on headers of cryptsetup's and of our own making.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "tests/crypto/volume/unlocking.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

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
      repair_luks2(header, 0, header.size());
      write_at(image, copy, header);
    }
    EXPECT_THAT(why(unlock(image, BekType::luks_passphrase, kPassphrase), ErrorCode::header_damaged),
                HasSubstr("key slot 0 is not tried: it asks for about 2000 s of work"));
  }
}

TEST_F(UnlockLuks, TheWorkOfSeveralVolumesIsCountedTogetherAndWhatCostsMoreThanAllowedIsNotBegun) {
  make("luks2", {"--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "2000000"});
  const auto facts = probe(image).volumes.at(0);
  const Buffer bytes = read_all(image);
  const ReadHeader read = [&](std::uint64_t offset, MutableBytes to) -> Result<void> {
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), to.size(), to.begin());
    return {};
  };
  const double cost = slot_seconds(facts, read, 0, "web-01/root").value();
  EXPECT_GT(cost, 2.0);
  EXPECT_LT(cost, 3.0);
  EXPECT_EQ(slot_seconds(facts, read, 7, "web-01/root").value(), 0.0);
  const auto with = [&](const UnlockLimits& limits) {
    return unlock_volume(facts, read, BekType::luks_passphrase, secret(kPassphrase), "web-01/root", limits);
  };
  double left = 10;
  UnlockLimits limits;
  limits.left = &left;
  limits.first_slot = 0;
  EXPECT_EQ(with(limits).value().slot, 0);
  EXPECT_NEAR(left, 10 - cost, 0.01);
  // What a key that another slot opens costs: that slot alone, when it is known which it was.
  std::vector<std::string> cheap = kCheap;
  cheap.insert(cheap.end(), {"--key-slot", "5"});
  luks_add_key(image, cheap);
  const Buffer two_slots = read_all(image);
  const ReadHeader read_two = [&](std::uint64_t offset, MutableBytes to) -> Result<void> {
    std::copy_n(two_slots.begin() + static_cast<std::ptrdiff_t>(offset), to.size(), to.begin());
    return {};
  };
  left = 10;
  limits.first_slot = 5;
  EXPECT_EQ(unlock_volume(probe(image).volumes.at(0), read_two, BekType::luks_passphrase, secret("second"),
                          "web-01/root", limits)
                .value()
                .slot,
            5);
  EXPECT_GT(left, 9);
  limits.first_slot = 0;
  left = 1;
  const auto spent = with(limits);
  ASSERT_FALSE(spent);
  EXPECT_THAT(spent.error().because, HasSubstr("and 1 are left"));
  limits.left = nullptr;
  limits.slot_seconds = 1;
  const auto refused = with(limits);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unlock_costlier);
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

TEST_F(UnlockLuks, MoreMemoryThanThereIsIsAnErrorAndNoCrash) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer needs the address space that this test takes away";
#endif
  make("luks2",
       {"--pbkdf", "argon2id", "--pbkdf-memory", "524288", "--pbkdf-force-iterations", "4", "--pbkdf-parallel", "1"});
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit little{256 * kMiB, 256 * kMiB};
    ::setrlimit(RLIMIT_AS, &little);
    const auto unlocked = unlock(image, BekType::luks_passphrase, kPassphrase);
    const bool reported = !unlocked && unlocked.error().code == ErrorCode::out_of_memory &&
                          unlocked.error().because.find("key slot 0 needs 512 MiB") != std::string::npos;
    if (!reported) std::fputs(unlocked ? "it opened\n" : (unlocked.error().message() + "\n").c_str(), stderr);
    ::_exit(reported ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace cairn::testing
