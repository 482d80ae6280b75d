// SPDX-License-Identifier: GPL-3.0-or-later
// What the bytes that somebody gives may mean as a BEK.
#include "crypto/bek_readings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "crypto/key_text.h"

namespace cairn::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;
using ::testing::SizeIs;

constexpr std::string_view kComposed = "l\u00f6senord";
constexpr std::string_view kDecomposed = "lo\u0308senord";

SecretBytes secret(std::string_view text) {
  start_crypto();
  return SecretBytes::copy_of(as_bytes(text));
}
std::string text(const std::optional<SecretBytes>& secret) {
  return secret ? std::string(as_text(secret->reveal())) : "nothing";
}
std::string utf16(std::string_view ascii) {
  std::string bytes = "\xff\xfe";
  for (const char c : ascii) bytes += std::string{c, '\0'};
  return bytes;
}

std::vector<std::string> read(std::string_view given, std::optional<BekType> type = std::nullopt,
                              bool of_bitlocker = false) {
  const auto readings = bek_readings(secret(given), of_bitlocker, type, "key");
  if (!readings) return {"error: " + readings.error().because};
  std::vector<std::string> texts;
  for (const BekReading& reading : *readings) {
    texts.emplace_back(as_text(reading.bek.reveal()));
    // What is stored is read again, and must come out the same.
    const auto again = normal_bek(reading.type, SecretBytes::copy_of(reading.bek.reveal()), "key");
    EXPECT_TRUE(again) << again.error().message();
    if (again) {
      EXPECT_EQ(as_text(again->reveal()), texts.back());
    }
  }
  EXPECT_LE(texts.size(), 8U);
  return texts;
}

TEST(BekReadings, OfLuksBeginWithTheFileAsItIs) {
  EXPECT_THAT(read("secret"), ElementsAre("secret"));
  EXPECT_THAT(read("secret\n"), ElementsAre("secret\n", "secret"));
  EXPECT_THAT(read("secret\n\n"), ElementsAre("secret\n\n", "secret\n"));
  EXPECT_THAT(read("secret\r\n"), ElementsAre("secret\r\n", "secret\r", "secret"));
  EXPECT_THAT(read("\xef\xbb\xbfsecret\r\n"), Contains("secret"));
  EXPECT_THAT(read(utf16("secret\r\n")), Contains("secret"));
  EXPECT_THAT(read(""), ElementsAre("error: it is empty"));
}

TEST(BekReadings, KeepAKeyFileAsItIs) {
  EXPECT_THAT(read("secret\n", BekType::luks_key_file), ElementsAre("secret\n"));
  EXPECT_THAT(read(std::string(5000, 'x') + "\n"), SizeIs(1));
  EXPECT_THAT(read(std::string("\xff\x00\xfe", 3)), SizeIs(1));
}

TEST(BekReadings, TellComposedFromDecomposedLetters) {
  EXPECT_THAT(read(kComposed), ElementsAre(kComposed, kDecomposed));
  EXPECT_THAT(read(kDecomposed), ElementsAre(kDecomposed, kComposed));
  EXPECT_THAT(read(std::string(kComposed) + "\n", BekType::luks_passphrase), ElementsAre(kComposed, kDecomposed));
  EXPECT_THAT(read(kDecomposed, std::nullopt, true), ElementsAre(kDecomposed, kComposed));
}

TEST(BekReadings, OfBitlockerArePasswordsWithoutWhatAnEditorAdds) {
  EXPECT_THAT(read("anaconda\r\n", std::nullopt, true), ElementsAre("anaconda"));
  EXPECT_THAT(read(utf16("anaconda\r\n"), std::nullopt, true), ElementsAre("anaconda"));
  const std::string one = "000000-000011-720885-111111-222222-333333-444444-555555";
  const std::string two = "000011-000011-720885-111111-222222-333333-444444-555555";
  EXPECT_THAT(read("C: " + one + "\nD: " + two + "\n", std::nullopt, true), ElementsAre(one, two));
  EXPECT_THAT(read("\xff\xfe", BekType::bitlocker_password, true), Not(Contains("")));
}

TEST(KeyText, ByteOrderMarksAreTakenOff) {
  EXPECT_EQ(text(without_byte_order_mark(as_bytes("\xef\xbb\xbfkey"))), "key");
  EXPECT_EQ(text(without_byte_order_mark(as_bytes(utf16("key")))), "key");
  EXPECT_EQ(text(without_byte_order_mark(as_bytes(std::string_view("\xfe\xff\x00k\xd8\x3d\xdd\x11", 8)))),
            "k\U0001F511");
  EXPECT_EQ(text(without_byte_order_mark(as_bytes("key"))), "nothing");
  EXPECT_EQ(text(without_byte_order_mark({})), "nothing");
  // Half a unit, halves of pairs, bytes that are not UTF-8.
  for (const std::string_view broken :
       {std::string_view("\xff\xfek", 3), std::string_view("\xff\xfe\x00\xdc", 4),
        std::string_view("\xff\xfe\x3d\xd8", 4), std::string_view("\xff\xfe\x3d\xd8k\0", 6),
        std::string_view("\xef\xbb\xbf\xff", 4)})
    EXPECT_EQ(text(without_byte_order_mark(as_bytes(broken))), "nothing");
  EXPECT_EQ(text(without_byte_order_mark(as_bytes("\xef\xbb\xbf" + std::string(kMaxKeyText, 'x')))), "nothing");
}

TEST(KeyText, DashesAndSpacesBecomePlain) {
  const SecretBytes plain = with_plain_dashes(as_bytes("a\u2013b\u2014c\u2212d\u00a0e\u200bf\u00adg\xff\u00f6"));
  EXPECT_EQ(as_text(plain.reveal()), "a-b-c-d ef-g\xff\u00f6");
}

}  // namespace
}  // namespace cairn::testing
