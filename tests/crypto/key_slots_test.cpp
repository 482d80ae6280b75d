// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/key_slots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sodium.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace cairn {
namespace {

using testing::HasSubstr;
constexpr PassphraseCost kCheap{1, 8192ULL * 1024};

class KeySlots : public testing::Test {
 protected:
  void SetUp() override {
    start_crypto();
    master_key_ = SecretBytes::random(kMasterKeyBytes);
    std::string pattern = (std::filesystem::temp_directory_path() / "cairn-keys-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  KeySlot make(KeySlotType type, std::string_view secret) {
    NewKeySlot slot;
    slot.type = type;
    slot.label = "a label";
    slot.secret = SecretBytes::copy_of(as_bytes(secret));
    slot.cost = kCheap;
    return make_key_slot(master_key_, slot, UtcTime()).value();
  }
  static UnlockKey key(KeySlotType type, std::string_view secret) {
    return {type, SecretBytes::copy_of(as_bytes(secret)), "the test"};
  }
  bool opens(const KeySlot& slot, const UnlockKey& with) {
    const auto opened = open_key_slots({&slot, 1}, with, "store");
    return opened && sodium_memcmp(opened->reveal().data(), master_key_.reveal().data(), kMasterKeyBytes) == 0;
  }
  std::string file(const std::string& name, std::string_view content, mode_t mode) {
    const auto path = directory_ / name;
    std::ofstream(path) << content;
    chmod(path.c_str(), mode);
    return path;
  }

  SecretBytes master_key_;
  std::filesystem::path directory_;
};

constexpr std::string_view kFile = "0123456789abcdef0123456789abcdef";

TEST_F(KeySlots, OpenWithTheirOwnKeyOnly) {
  const KeySlot passphrase = make(KeySlotType::passphrase, "correct horse");
  EXPECT_TRUE(opens(passphrase, key(KeySlotType::passphrase, "correct horse")));
  EXPECT_FALSE(opens(passphrase, key(KeySlotType::passphrase, "correct horsf")));
  const KeySlot key_file = make(KeySlotType::key_file, kFile);
  EXPECT_TRUE(opens(key_file, key(KeySlotType::key_file, kFile)));
  EXPECT_FALSE(opens(key_file, key(KeySlotType::key_file, std::string(kFile) + "\n")));
  EXPECT_FALSE(opens(key_file, key(KeySlotType::passphrase, kFile)));
}

TEST_F(KeySlots, AWrongKeySaysSoAndWhereItCameFrom) {
  const KeySlot slot = make(KeySlotType::key_file, kFile);
  const auto refused =
      open_key_slots({&slot, 1}, key(KeySlotType::key_file, "something else that is long enough"), "/srv/s");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::wrong_key);
  EXPECT_THAT(refused.error().message(), HasSubstr("cannot unlock store /srv/s: the key-file from the test"));
}

TEST_F(KeySlots, RecoveryKeyOpensAndItsPublicHalfDoesNot) {
  const RecoveryKeyPair pair = make_recovery_key();
  NewKeySlot paper;
  paper.type = KeySlotType::recovery;
  paper.recovery_public = pair.public_half;
  const KeySlot slot = make_key_slot(master_key_, paper, UtcTime()).value();
  EXPECT_TRUE(opens(slot, {KeySlotType::recovery, SecretBytes::copy_of(pair.secret.reveal()), "paper"}));
  EXPECT_FALSE(opens(slot, {KeySlotType::recovery, SecretBytes::copy_of(pair.public_half), "paper"}));
}

TEST_F(KeySlots, ComeBackFromTheirDocument) {
  for (const KeySlotType type : {KeySlotType::passphrase, KeySlotType::key_file}) {
    const KeySlot slot = make(type, kFile);
    const auto again = key_slot_from_json(to_json(slot), "store");
    ASSERT_TRUE(again);
    EXPECT_TRUE(opens(*again, key(type, kFile)));
    EXPECT_EQ(again->facts.label, "a label");
  }
}

TEST_F(KeySlots, AWrappedKeyMovedToAnotherSlotDoesNotOpen) {
  KeySlot slot = make(KeySlotType::key_file, kFile);
  slot.facts.id = "00000000";
  EXPECT_FALSE(opens(slot, key(KeySlotType::key_file, kFile)));
}

TEST_F(KeySlots, RefuseDocumentsThatNoStoreHas) {
  const nlohmann::json good = to_json(make(KeySlotType::passphrase, "p"));
  const auto refused = [&](const char* pointer, const nlohmann::json& value) {
    nlohmann::json document = good;
    document[nlohmann::json::json_pointer(pointer)] = value;
    const auto slot = key_slot_from_json(document, "store");
    return !slot && slot.error().code == ErrorCode::store_damaged;
  };
  EXPECT_TRUE(refused("/type", "fingerprint"));
  EXPECT_TRUE(refused("/salt", "00"));
  EXPECT_TRUE(refused("/salt", 5));
  EXPECT_TRUE(refused("/wrapped", "xyz"));
  EXPECT_TRUE(refused("/created", "yesterday"));
  EXPECT_TRUE(refused("/argon2id/memory_bytes", 1ULL << 40U));  // would take all memory
  EXPECT_TRUE(refused("/argon2id/operations", 1'000'000));      // would take a day
  EXPECT_TRUE(refused("/argon2id", nullptr));
  EXPECT_EQ(key_slot_from_json(nlohmann::json::array(), "store").error().code, ErrorCode::store_damaged);
}

TEST_F(KeySlots, RefuseKeysThatAreNone) {
  NewKeySlot empty;
  empty.type = KeySlotType::passphrase;
  EXPECT_EQ(make_key_slot(master_key_, empty, UtcTime()).error().code, ErrorCode::used_wrongly);
  NewKeySlot tiny;
  tiny.secret = SecretBytes::copy_of(as_bytes("short"));
  EXPECT_EQ(make_key_slot(master_key_, tiny, UtcTime()).error().code, ErrorCode::key_file_invalid);
}

TEST_F(KeySlots, KeyFilesAreMadeClosedToOthersAndNeverOverwritten) {
  const std::string path = directory_ / "new.key";
  ASSERT_TRUE(create_key_file(path));
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  const auto secret = read_key_file(path);
  ASSERT_TRUE(secret);
  EXPECT_EQ(secret->size(), 65U);
  EXPECT_EQ(create_key_file(path).error().code, ErrorCode::target_exists);
  EXPECT_EQ(as_text(read_key_file(path)->reveal()), as_text(secret->reveal()));
}

TEST_F(KeySlots, KeyFilesThatOthersMayTouchAreRefused) {
  for (const mode_t mode : {0640U, 0604U, 0660U, 0620U, 0602U, 0610U})
    EXPECT_EQ(read_key_file(file("k" + std::to_string(mode), kFile, mode)).error().code,
              ErrorCode::key_file_permissions)
        << mode;
  EXPECT_TRUE(read_key_file(file("closed", kFile, 0600)));
  EXPECT_TRUE(read_key_file(file("read-only", kFile, 0400)));
}

TEST_F(KeySlots, KeyFilesThatAreNoneAreRefused) {
  EXPECT_EQ(read_key_file(directory_ / "nowhere").error().code, ErrorCode::key_file_missing);
  EXPECT_EQ(read_key_file(file("empty", "", 0600)).error().code, ErrorCode::key_file_invalid);
  EXPECT_EQ(read_key_file(file("huge", std::string(8193, 'x'), 0600)).error().code, ErrorCode::key_file_invalid);
  EXPECT_EQ(read_key_file("/dev/null").error().code, ErrorCode::key_file_invalid);
  EXPECT_FALSE(read_key_file(directory_));
}

TEST_F(KeySlots, APrintedRecoveryKeyIsReadBackHoweverItIsTyped) {
  const RecoveryKeyPair pair = make_recovery_key();
  const SecretBytes printed = print_recovery_key(pair.secret);
  const std::string text(as_text(printed.reveal()));
  EXPECT_EQ(text.size(), 14U + 8 * 8);
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string bare = text.substr(15);
  std::string spread;
  for (const char c : text) spread += std::string(1, c) + (c == '-' ? "\r\n  " : "");
  std::string dashes;
  for (const char c : text) dashes += c == '-' ? "\u2013" : std::string(1, c);
  std::string alike = text;
  std::ranges::replace(alike, 'O', '0');
  std::ranges::replace(alike, 'I', '1');
  std::string utf16 = "\xff\xfe";
  for (const char c : text) utf16 += std::string{c, '\0'};
  for (const std::string& typed :
       {text, lower, bare, spread, text + "\n", dashes, alike, "\xef\xbb\xbf" + text, utf16}) {
    const auto secret = parse_recovery_key(as_bytes(typed), "paper");
    ASSERT_TRUE(secret) << typed;
    EXPECT_EQ(as_text(secret->reveal()), as_text(pair.secret.reveal()));
  }
}

// A key that is the same in every run: what is found out from the checksum is so too.
std::string known_paper_key() {
  start_crypto();
  SecretBytes secret(32);
  for (std::size_t i = 0; i < secret.size(); ++i) secret.reveal()[i] = static_cast<std::uint8_t>(i * 37 + 11);
  const SecretBytes printed = print_recovery_key(secret);
  return std::string(as_text(printed.reveal()));
}
std::string why_not(std::string_view typed) {
  const auto key = parse_recovery_key(as_bytes(typed), "paper");
  return key ? "it is right" : key.error().because;
}

TEST_F(KeySlots, TheMistypedGroupOfARecoveryKeyIsNamed) {
  const std::string text = known_paper_key();
  ASSERT_EQ(why_not(text), "it is right");
  for (std::size_t group = 0; group < 8; ++group) {
    const std::size_t at = 15 + group * 8 + 3;
    const std::string name = "group " + std::to_string(group + 1) + " of 8 after CAIRN-RECOVERY ";
    std::string wrong = text;
    wrong[at] = wrong[at] == 'A' ? 'B' : 'A';
    EXPECT_EQ(why_not(wrong), "its checksum is wrong: " + name + "is mistyped");
    wrong[at] = '!';
    EXPECT_EQ(why_not(wrong), name + "holds a character other than A-Z and 2-7");
    wrong.erase(at, 1);
    EXPECT_EQ(why_not(wrong), name + "has 6 characters instead of 7");
    EXPECT_EQ(why_not(wrong.substr(15)), name + "has 6 characters instead of 7");  // without CAIRN-RECOVERY
    wrong.insert(at, "AAA");
    EXPECT_EQ(why_not(wrong), name + "has 9 characters instead of 7");
  }
}

TEST_F(KeySlots, TwoSlipsInARecoveryKeyAreToldApart) {
  const std::string text = known_paper_key();
  const auto other = [](char c) { return c == 'A' ? 'B' : 'A'; };
  std::string swapped = text;
  std::size_t at = 15 + 2 * 8;
  while (swapped[at] == swapped[at + 1]) ++at;
  std::swap(swapped[at], swapped[at + 1]);
  EXPECT_EQ(why_not(swapped),
            "its checksum is wrong: group 3 of 8 after CAIRN-RECOVERY is mistyped: two neighbours are swapped");
  std::string twice = text;
  twice[15 + 8] = other(twice[15 + 8]);
  twice[15 + 8 + 4] = other(twice[15 + 8 + 4]);
  EXPECT_EQ(why_not(twice),
            "its checksum is wrong: group 2 of 8 after CAIRN-RECOVERY is mistyped, most likely, in two places");
  std::string apart = text;
  apart[15] = other(apart[15]);
  apart[15 + 7 * 8] = other(apart[15 + 7 * 8]);
  EXPECT_EQ(why_not(apart), "its checksum is wrong: more than one group is mistyped, or it is another key");
}

TEST_F(KeySlots, TheLengthOfARecoveryKeyIsCountedWithoutItsPrefix) {
  const std::string text = known_paper_key();
  EXPECT_EQ(why_not(text.substr(0, text.size() - 8)),
            "it has 49 letters and digits after CAIRN-RECOVERY instead of 56");
  EXPECT_EQ(why_not(text + "-AAAAAAA"), "it has 63 letters and digits after CAIRN-RECOVERY instead of 56");
  EXPECT_EQ(why_not("hello"), "it has 5 letters and digits after CAIRN-RECOVERY instead of 56");
}

TEST_F(KeySlots, EveryMistypedCharacterOfARecoveryKeyIsNoticed) {
  const SecretBytes printed = print_recovery_key(make_recovery_key().secret);
  const std::string text(as_text(printed.reveal()));
  for (std::size_t i = 15; i < text.size(); ++i) {
    if (text[i] == '-') continue;
    std::string wrong = text;
    wrong[i] = wrong[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(parse_recovery_key(as_bytes(wrong), "paper")) << i;
    wrong.erase(i, 1);
    EXPECT_FALSE(parse_recovery_key(as_bytes(wrong), "paper")) << i;
  }
  for (const char* wrong : {"", "CAIRN-RECOVERY", "hello", "CAIRN-RECOVERY-1111111-0000000"})
    EXPECT_EQ(parse_recovery_key(as_bytes(wrong), "paper").error().code, ErrorCode::key_file_invalid);
}

}  // namespace
}  // namespace cairn
