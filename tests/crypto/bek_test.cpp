// SPDX-License-Identifier: GPL-3.0-or-later
// BEKs: .BEK files, recovery passwords, and what is said about wrong ones.
#include "crypto/bek.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "tests/support/bitlocker_volume.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Groups that are right, the least and the greatest among them; of no volume.
constexpr std::string_view kRecovery = "000000-000011-720885-111111-222222-333333-444444-555555";

SecretBytes secret(const Buffer& bytes) {
  start_crypto();
  return SecretBytes::copy_of(bytes);
}
SecretBytes secret(std::string_view text) {
  return secret(Buffer(text.begin(), text.end()));
}
std::string text(const Result<SecretBytes>& bek) {
  return bek ? std::string(as_text(bek->reveal())) : "error: " + bek.error().message();
}
std::string why(const Result<SecretBytes>& bek) {
  if (bek) return "no error";
  EXPECT_EQ(bek.error().code, ErrorCode::bek_invalid);
  EXPECT_THAT(bek.error().message(), HasSubstr("the.BEK"));
  return bek.error().because;
}
Result<SecretBytes> recovery(std::string_view typed) {
  return normal_bek(BekType::bitlocker_recovery_password, secret(typed), "the.BEK");
}
std::string why_recovery(std::string_view typed) {
  return why(recovery(typed));
}

TEST(BekTypes, HaveNamesThatParse) {
  for (const BekType type : {BekType::luks_key_file, BekType::luks_passphrase, BekType::bitlocker_startup_key,
                             BekType::bitlocker_recovery_password, BekType::bitlocker_password}) {
    EXPECT_FALSE(to_string(type).empty());
    EXPECT_EQ(parse_bek_type(to_string(type)), type);
    EXPECT_EQ(is_bitlocker(type), to_string(type).starts_with("bitlocker-"));
  }
  EXPECT_EQ(parse_bek_type("bitlocker"), std::nullopt);
}

TEST(RecoveryPassword, IsTakenInEveryWayItIsWritten) {
  std::string spaces(kRecovery);
  std::replace(spaces.begin(), spaces.end(), '-', ' ');
  std::string lines(kRecovery);
  for (std::size_t at = 0; (at = lines.find('-', at)) != std::string::npos; ++at) lines.replace(at, 1, "\r\n");
  std::string bare(kRecovery);
  std::erase(bare, '-');
  for (const std::string& typed :
       {std::string(kRecovery), spaces, lines, bare, "  " + std::string(kRecovery) + " \n"}) {
    EXPECT_EQ(bitlocker_bek_type(secret(typed)), BekType::bitlocker_recovery_password);
    EXPECT_EQ(text(recovery(typed)), kRecovery);
  }
}

// As Windows saves it: UTF-16 with a byte order mark, prose in the language of the system, a GUID, CRLF.
std::string saved_by_windows(std::string_view key) {
  return "BitLocker Drive Encryption recovery key \r\n\r\nTo verify that this is the correct recovery key compare the "
         "start of the following identifier.\r\n\r\nIdentifier:\r\n\r\n\t0F26F24F-7D1A-4DAC-8F25-4E0B4C9C2AAB\r\n\r\n"
         "Recovery Key:\r\n\r\n\t" +
         std::string(key) + "\r\n\r\nIf the above identifier doesn't match, try another in 12-34.\r\n";
}
std::string utf16(std::string_view text, bool little = true) {
  std::string bytes = little ? "\xff\xfe" : "\xfe\xff";
  for (const char c : text) bytes += little ? std::string{c, '\0'} : std::string{'\0', c};
  return bytes;
}

TEST(RecoveryPassword, IsFoundInTheTextThatWindowsSaves) {
  const std::string prose = saved_by_windows(kRecovery);
  for (const std::string& saved : {prose, "\xef\xbb\xbf" + prose, utf16(prose), utf16(prose, false)}) {
    EXPECT_EQ(bitlocker_bek_type(secret(saved)), BekType::bitlocker_recovery_password);
    EXPECT_EQ(text(recovery(saved)), kRecovery);
    EXPECT_EQ(recovery_passwords_in(secret(saved)).size(), 1U);
  }
}

TEST(RecoveryPassword, IsTakenWithDashesOfEveryKind) {
  for (const std::string_view dash :
       {"\u2010", "\u2011", "\u2013", "\u2014", "\u2212", "\ufe63", "\uff0d", "\u00a0", " - "}) {
    std::string typed(kRecovery);
    for (std::size_t at = 0; (at = typed.find('-', at)) != std::string::npos; at += dash.size())
      typed.replace(at, 1, dash);
    EXPECT_EQ(text(recovery(typed)), kRecovery) << dash;
    // In prose spaces alone join no groups: they stand between any numbers.
    if (dash != "\u00a0") {
      EXPECT_EQ(text(recovery("key: " + typed)), kRecovery) << dash;
    }
  }
}

TEST(RecoveryPassword, MistypedInProseIsNamedByItsGroup) {
  std::string key(kRecovery);
  key[2 * 7 + 5] = '6';
  EXPECT_EQ(why_recovery(saved_by_windows(key)),
            "group 3 of 8 is mistyped: its check digit is not that of its other digits");
  EXPECT_EQ(why_recovery(saved_by_windows("it is on the other sheet")),
            "no recovery password (eight groups of six digits) is in this text");
}

TEST(RecoveryPassword, SeveralInOneTextAreNotChosenFrom) {
  std::string other(kRecovery);
  other.replace(0, 6, "000011");
  const std::string both = saved_by_windows(kRecovery) + saved_by_windows(other) + saved_by_windows(other);
  EXPECT_EQ(why_recovery(both), "2 recovery passwords are in this text, and one is needed");
  EXPECT_EQ(recovery_passwords_in(secret(both)).size(), 2U);
}

TEST(RecoveryPassword, NamesTheWrongGroupAndTellsNoDigits) {
  std::string typed(kRecovery);
  typed[2 * 7 + 5] = '6';
  EXPECT_EQ(why_recovery(typed), "group 3 of 8 is mistyped: its check digit is not that of its other digits");
  typed = kRecovery;
  typed.replace(5 * 7, 6, "720896");  // 65536 times 11
  EXPECT_EQ(why_recovery(typed), "group 6 of 8 is mistyped: it is not below 720896");
  typed.replace(1 * 7, 6, "00001x");
  EXPECT_EQ(why_recovery(typed),
            "group 2 of 8 holds something else than digits; group 6 of 8 is mistyped: it is not below 720896");
  typed = kRecovery;
  typed.erase(7 * 7 + 5);
  EXPECT_EQ(why_recovery(typed), "group 8 of 8 has 5 digits instead of 6");
  typed.replace(0, 6, "123123");
  const auto refused = recovery(typed);
  EXPECT_THAT(refused.error().message(), AllOf(Not(HasSubstr("123123")), Not(HasSubstr("55555"))));
}

TEST(RecoveryPassword, EveryMistypedDigitIsNoticed) {
  for (std::size_t at = 0; at < kRecovery.size(); ++at) {
    if (kRecovery[at] == '-') continue;
    for (char digit = '0'; digit <= '9'; ++digit) {
      if (digit == kRecovery[at]) continue;
      std::string typed(kRecovery);
      typed[at] = digit;
      EXPECT_THAT(why_recovery(typed), HasSubstr("group " + std::to_string(at / 7 + 1) + " of 8"));
    }
  }
}

TEST(RecoveryPassword, OfAnotherNumberOfGroupsIsRefused) {
  EXPECT_EQ(why_recovery(kRecovery.substr(7)), "it has 7 groups of digits instead of 8");
  EXPECT_EQ(why_recovery(std::string(kRecovery) + "-000000"), "it has 9 groups of digits instead of 8");
  EXPECT_EQ(why_recovery("---"), "it has 0 groups of digits instead of 8");
  EXPECT_EQ(why_recovery(""), "it is empty");
  EXPECT_EQ(bitlocker_bek_type(secret(kRecovery.substr(7))), BekType::bitlocker_recovery_password);
}

TEST(BitlockerPassword, MayBeDigits) {
  for (const std::string_view typed :
       {"a1-b2-c3-d4-e5-f6-g7-h8", "12345678", "2026-11-22", "anaconda", "", "123456-123456-123456"})
    EXPECT_EQ(bitlocker_bek_type(secret(typed)), BekType::bitlocker_password);
}

TEST(Passphrases, LoseOneNewlineAndNothingElse) {
  const auto luks = [](std::string_view typed) {
    return text(normal_bek(BekType::luks_passphrase, secret(typed), "the.BEK"));
  };
  EXPECT_EQ(luks("correct horse\n"), "correct horse");
  EXPECT_EQ(luks("correct horse\n\n"), "correct horse\n");
  EXPECT_EQ(luks(" correct horse \r\n"), " correct horse \r");
  EXPECT_EQ(luks("correct horse"), "correct horse");
  const auto windows = [](std::string_view typed) {
    return text(normal_bek(BekType::bitlocker_password, secret(typed), "the.BEK"));
  };
  EXPECT_EQ(windows("anaconda\r\n"), "anaconda");
  EXPECT_EQ(windows("anaconda\n"), "anaconda");
  EXPECT_EQ(windows("anaconda\r"), "anaconda\r");
  EXPECT_EQ(windows("l\xc3\xb6senord"), "l\xc3\xb6senord");
}

TEST(Passphrases, OfNothingAreRefused) {
  for (const BekType type : {BekType::luks_passphrase, BekType::bitlocker_password}) {
    EXPECT_EQ(why(normal_bek(type, secret("\n"), "the.BEK")), "it is empty");
    EXPECT_EQ(why(normal_bek(type, SecretBytes(), "the.BEK")), "it is empty");
  }
  EXPECT_EQ(why(normal_bek(BekType::luks_key_file, SecretBytes(), "the.BEK")), "it is empty");
}

TEST(BitlockerPassword, ThatIsNoTextIsRefused) {
  EXPECT_THAT(why(normal_bek(BekType::bitlocker_password, secret("\xff\xfe"), "the.BEK")), HasSubstr("not text"));
}

TEST(KeyFiles, StayAsTheyAreUpToTheirLimit) {
  start_crypto();
  EXPECT_EQ(text(normal_bek(BekType::luks_key_file, secret("key\n"), "the.BEK")), "key\n");
  EXPECT_TRUE(normal_bek(BekType::luks_key_file, SecretBytes::random(kMaxBekBytes), "the.BEK"));
  EXPECT_EQ(why(normal_bek(BekType::luks_key_file, SecretBytes(kMaxBekBytes + 1), "the.BEK")),
            "it has 8388609 bytes; at most 8388608 (8 MiB) are taken, as by cryptsetup");
  EXPECT_THAT(why(normal_bek(BekType::luks_passphrase, SecretBytes(70'000), "the.BEK")), HasSubstr("70000 bytes"));
}

struct StartupKey : ::testing::Test {
  StartupKey() {
    const Buffer guid = *from_hex("3bd66749292ed84a8399f6a339e3d001");
    file = make_startup_key(guid, Buffer(32, 0x5a));
  }
  [[nodiscard]] std::string problem() const {
    const auto id = startup_key_id(secret(file), "the.BEK");
    const std::string words = why(normal_bek(BekType::bitlocker_startup_key, secret(file), "the.BEK"));
    EXPECT_EQ(words, id ? "no error" : id.error().because);
    return words;
  }
  Buffer file;
};

TEST_F(StartupKey, OfWindowsIsTakenAsItIs) {
  ASSERT_EQ(file.size(), 156U);
  EXPECT_EQ(bitlocker_bek_type(secret(file)), BekType::bitlocker_startup_key);
  EXPECT_EQ(text(normal_bek(BekType::bitlocker_startup_key, secret(file), "the.BEK")), as_text(file));
  EXPECT_EQ(*startup_key_id(secret(file), "the.BEK"), "4967D63B-2E29-4AD8-8399-F6A339E3D001");
}

TEST_F(StartupKey, CutOffAnywhereIsStillOneAndRefused) {
  const Buffer whole = file;
  for (std::size_t size = 16; size < whole.size(); ++size) {
    file.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(bitlocker_bek_type(secret(file)), BekType::bitlocker_startup_key);
    EXPECT_THAT(problem(), HasSubstr("cut off"));
  }
  EXPECT_EQ(problem(), "it is cut off: it has 155 bytes, and its header says 156");
}

TEST_F(StartupKey, WithSomethingBehindItIsRefused) {
  file.push_back('\n');
  EXPECT_EQ(problem(), "something follows its end: it has 157 bytes, and its header says 156");
}

TEST_F(StartupKey, DamagedIsRefusedWithWhatIsWrong) {
  const auto with = [this](std::size_t at, std::uint8_t byte) {
    const std::uint8_t before = std::exchange(file[at], byte);
    std::string words = problem();
    file[at] = before;
    return words;
  };
  EXPECT_EQ(with(4, 2), "it does not begin as a .BEK file does");
  EXPECT_EQ(with(8, 49), "it does not begin as a .BEK file does");
  EXPECT_EQ(with(48, 0xff), "its entry reaches beyond the end of the file");
  EXPECT_EQ(with(50, 2), "its entry is not a startup key");
  EXPECT_EQ(with(52, 8), "its entry is not a startup key");
  EXPECT_EQ(with(80, 0xff), "an entry reaches beyond the end of the file");
  EXPECT_EQ(with(80, 0), "an entry reaches beyond the end of the file");
  EXPECT_EQ(with(112, 40), "the entry of its key has 40 bytes instead of 44");
  EXPECT_EQ(with(116, 7), "it holds no key");
}

}  // namespace
}  // namespace cairn::testing
