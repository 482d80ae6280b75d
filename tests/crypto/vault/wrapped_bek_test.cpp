// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/wrapped_bek.h"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "crypto/secret_bytes.h"
#include "crypto/vault/key_vault.h"

namespace cairn {
namespace {

using nlohmann::json;

WrappedBek sample() {
  return {BekType::bitlocker_startup_key,
          "4381F759-C4F8-4DE0-BB61-FC33A831BDA5.BEK",
          "backup",
          {"3", "RSA-OAEP-256", Buffer{0, 1, 2, 253, 254, 255, 7}},
          UtcTime(std::chrono::seconds(1'795'219'200))};
}

ErrorCode code_of(const json& document) {
  const auto read = wrapped_bek_from_json(document, "secret main/web-01-root");
  return read ? ErrorCode::internal : read.error().code;
}

TEST(WrappedBekDocument, IsWhatItSays) {
  start_crypto();
  EXPECT_EQ(to_json(sample()).dump(),
            R"({"algorithm":"RSA-OAEP-256","created":"2026-11-21T00:00:00Z",)"
            R"("file_name":"4381F759-C4F8-4DE0-BB61-FC33A831BDA5.BEK","format":"cairn-wrapped-bek","kek":"backup",)"
            R"("kek_version":"3","type":"bitlocker-startup-key","version":1,"wrapped":"AAEC/f7/Bw=="})");
}

TEST(WrappedBekDocument, ComesBackTheSame) {
  start_crypto();
  for (const BekType type : {BekType::luks_key_file, BekType::luks_passphrase, BekType::bitlocker_startup_key,
                             BekType::bitlocker_recovery_password, BekType::bitlocker_password}) {
    WrappedBek bek = sample();
    bek.type = type;
    bek.file_name = type == BekType::luks_passphrase ? "" : "ключ 1.bek";
    const auto read = wrapped_bek_from_json(json::parse(to_json(bek).dump()), "it");
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(*read, bek);
  }
}

TEST(WrappedBekDocument, EqualityLooksAtEveryMember) {
  const std::vector<std::function<void(WrappedBek&)>> changes = {
      [](WrappedBek& bek) { bek.type = BekType::luks_key_file; },
      [](WrappedBek& bek) { bek.file_name += "x"; },
      [](WrappedBek& bek) { bek.kek += "x"; },
      [](WrappedBek& bek) { bek.wrapped.version += "x"; },
      [](WrappedBek& bek) { bek.wrapped.algorithm += "x"; },
      [](WrappedBek& bek) { bek.wrapped.bytes.back() ^= 1U; },
      [](WrappedBek& bek) { bek.created += std::chrono::seconds(1); }};
  EXPECT_EQ(sample(), sample());
  for (std::size_t i = 0; i < changes.size(); ++i) {
    WrappedBek changed = sample();
    changes[i](changed);
    EXPECT_FALSE(changed == sample()) << i;
  }
}

TEST(WrappedBekDocument, RefusesWhatNoneHas) {
  start_crypto();
  const json good = to_json(sample());
  ASSERT_EQ(code_of(good), ErrorCode::internal);
  const auto with = [&](const char* member, const json& value) {
    json document = good;
    document[member] = value;
    return code_of(document);
  };
  for (const char* member :
       {"format", "version", "type", "file_name", "kek", "kek_version", "algorithm", "wrapped", "created"}) {
    SCOPED_TRACE(member);
    json without = good;
    without.erase(member);
    EXPECT_EQ(code_of(without), ErrorCode::secret_damaged);
    for (const json& wrong : {json(), json(5), json(-1), json(1.5), json::array(), json::object(), json(true)}) {
      if (std::string_view(member) == "version" && wrong == 1) continue;
      EXPECT_EQ(with(member, wrong), ErrorCode::secret_damaged) << wrong;
    }
  }
  EXPECT_EQ(with("version", 2), ErrorCode::secret_damaged);
  EXPECT_EQ(with("version", 0), ErrorCode::secret_damaged);
  EXPECT_EQ(with("format", "cairn-store"), ErrorCode::secret_damaged);
  EXPECT_EQ(with("more", "x"), ErrorCode::secret_damaged);
  EXPECT_EQ(with("type", "post-it"), ErrorCode::secret_damaged);
  for (const char* name : {"../../etc/shadow", "..", ".", "a/b", "a\nb", "a\x01"})
    EXPECT_EQ(with("file_name", name), ErrorCode::secret_damaged) << name;
  EXPECT_EQ(with("file_name", std::string(256, 'a')), ErrorCode::secret_damaged);
  EXPECT_EQ(with("file_name", "\xff"), ErrorCode::secret_damaged);
  for (const char* name : {"", "a/b", "-a", "a b"}) EXPECT_EQ(with("kek", name), ErrorCode::secret_damaged) << name;
  for (const char* member : {"kek_version", "algorithm"}) {
    EXPECT_EQ(with(member, ""), ErrorCode::secret_damaged);
    EXPECT_EQ(with(member, std::string(128, 'a')), ErrorCode::internal);
    EXPECT_EQ(with(member, std::string(129, 'a')), ErrorCode::secret_damaged);
    EXPECT_EQ(with(member, "a\nb"), ErrorCode::secret_damaged);
  }
  for (const char* bytes : {"", "AAEC/f7/Bw=", "AAEC/f7/Bw", "AAEC/f7/Bx==", "AA EC", "!!!!", "AAEC/f7/Bw==AAEC"})
    EXPECT_EQ(with("wrapped", bytes), ErrorCode::secret_damaged) << bytes;
  EXPECT_EQ(with("created", "yesterday"), ErrorCode::secret_damaged);
  for (const json& document : {json(), json::array(), json("x"), json::object()})
    EXPECT_EQ(code_of(document), ErrorCode::secret_damaged);
}

TEST(WrappedBekDocument, TakesTwelveMebibytesAndNoMore) {
  start_crypto();
  WrappedBek bek = sample();
  bek.wrapped.bytes = Buffer(std::size_t{12} * 1024 * 1024, 1);
  EXPECT_EQ(code_of(to_json(bek)), ErrorCode::internal);
  bek.wrapped.bytes.push_back(1);
  EXPECT_EQ(code_of(to_json(bek)), ErrorCode::secret_damaged);
}

TEST(KekTypes, AreReadInAnyCase) {
  EXPECT_EQ(parse_kek_type("x25519"), KekType::x25519);
  EXPECT_EQ(parse_kek_type("rsa-3072"), KekType::rsa_3072);
  EXPECT_EQ(parse_kek_type("Rsa-4096"), KekType::rsa_4096);
  EXPECT_FALSE(parse_kek_type("RSA-2048"));
  EXPECT_FALSE(parse_kek_type(""));
}

}  // namespace
}  // namespace cairn
