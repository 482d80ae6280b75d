// SPDX-License-Identifier: GPL-3.0-or-later
// KEKs in an HSM: a real SoftHSM token, the same behind a library that behaves like other HSMs (pkcs11_shim.h), and the
// tools of others as witnesses. Trouble with the token: pkcs11_token_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>

#include "tests/crypto/vault/contract.h"
#include "tests/crypto/vault/pkcs11/pkcs11_place.h"

namespace cairn {
namespace {

using testing::HasSubstr;

TEST_F(Pkcs11Test, WrapsWithTheHashThatTheTokenTakes) {
  ASSERT_TRUE(vault()->create_kek("backup", KekType::rsa_3072));
  const SecretBytes key_file = SecretBytes::random(4096);
  EXPECT_EQ(value_of(vault()->wrap("backup", SecretBytes::random(342))).algorithm, "RSA-OAEP");
  EXPECT_EQ(value_of(vault()->wrap("backup", SecretBytes::random(343))).algorithm, "RSA-OAEP+XChaCha20-Poly1305");
  const Wrapped sha1 = value_of(vault()->wrap("backup", key_file));
  use_shim();
  shim().knows_sha256 = true;
  EXPECT_EQ(value_of(vault()->wrap("backup", SecretBytes::random(318))).algorithm, "RSA-OAEP-256");
  EXPECT_EQ(value_of(vault()->wrap("backup", SecretBytes::random(319))).algorithm, "RSA-OAEP-256+XChaCha20-Poly1305");
  const Wrapped sha256 = value_of(vault()->wrap("backup", key_file));
  EXPECT_TRUE(same(value_of(vault()->unwrap("backup", sha1)), key_file)) << "wrapped before the token learnt it";
  EXPECT_TRUE(same(value_of(vault()->unwrap("backup", sha256)), key_file));
  // A token that has forgotten it gives the same answer as damage.
  shim().knows_sha256 = false;
  const auto forgotten = vault()->unwrap("backup", sha256);
  EXPECT_EQ(forgotten.error().code, ErrorCode::hsm_failed);
  EXPECT_THAT(forgotten.error().message(), HasSubstr("CKR_"));
}

TEST_F(Pkcs11Test, KeysNeverLeaveTheToken) {
  ASSERT_TRUE(vault()->create_kek("backup", KekType::rsa_4096));
  ASSERT_TRUE(vault()->rotate_kek("backup"));
  const auto session = value_of(TokenSession::open({kSoftHsm, kLabel, SoftHsm::instance().pin_file()}));
  const auto private_halves = objects(*session, CKO_PRIVATE_KEY, "backup");
  ASSERT_EQ(private_halves.size(), 2U);
  EXPECT_EQ(objects(*session, CKO_PUBLIC_KEY, "backup").size(), 2U);
  std::set<std::string> ids;
  for (const CK_OBJECT_HANDLE key : private_halves) {
    CK_BBOOL sensitive = CK_FALSE;
    CK_BBOOL extractable = CK_TRUE;
    CK_BBOOL is_private = CK_FALSE;
    std::array<char, 16> id{};
    std::array<CK_ATTRIBUTE, 4> asked = {
        CK_ATTRIBUTE{CKA_SENSITIVE, &sensitive, 1}, CK_ATTRIBUTE{CKA_EXTRACTABLE, &extractable, 1},
        CK_ATTRIBUTE{CKA_PRIVATE, &is_private, 1}, CK_ATTRIBUTE{CKA_ID, id.data(), id.size()}};
    ASSERT_EQ(session->api().C_GetAttributeValue(session->handle(), key, asked.data(), asked.size()), CKR_OK);
    EXPECT_EQ(sensitive, CK_TRUE);
    EXPECT_EQ(extractable, CK_FALSE);
    EXPECT_EQ(is_private, CK_TRUE);
    ids.emplace(id.data(), asked[3].ulValueLen);
    std::array<char, 1024> exponent{};
    CK_ATTRIBUTE secret{CKA_PRIVATE_EXPONENT, exponent.data(), exponent.size()};
    EXPECT_EQ(session->api().C_GetAttributeValue(session->handle(), key, &secret, 1), CKR_ATTRIBUTE_SENSITIVE);
  }
  EXPECT_EQ(ids, (std::set<std::string>{"1", "2"})) << "the versions, as decimal text";
  EXPECT_EQ(value_of(vault()->get_kek("backup")).type, "RSA-4096");
}

TEST_F(Pkcs11Test, OtherToolsUnwrapWhatItWrapsAndTheOtherWayRound) {
  if (!run("command -v pkcs11-tool") || !run("command -v openssl"))
    GTEST_SKIP() << "pkcs11-tool or openssl is missing (package opensc)";
  ASSERT_TRUE(vault()->create_kek("backup", KekType::rsa_3072));
  const std::string plain = "a LUKS passphrase";
  const SecretBytes bek = SecretBytes::copy_of(as_bytes(plain));
  const Wrapped wrapped = value_of(vault()->wrap("backup", bek));
  std::ofstream(in("wrapped")) << as_text(wrapped.bytes);
  ASSERT_TRUE(run(tool() + "--decrypt -m RSA-PKCS-OAEP --hash-algorithm SHA-1 --mgf MGF1-SHA1 --id 31 -i " +
                  in("wrapped") + " -o " + in("plain")));
  std::ifstream file(in("plain"));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), plain);

  ASSERT_TRUE(run(tool() + "--read-object --type pubkey --id 31 -o " + in("public.der")));
  std::ofstream(in("plain")) << plain;
  ASSERT_TRUE(run("openssl pkeyutl -encrypt -pubin -keyform DER -inkey " + in("public.der") +
                  " -pkeyopt rsa_padding_mode:oaep -in " + in("plain") + " -out " + in("sealed")));
  std::ifstream sealed(in("sealed"));
  const std::string bytes(std::istreambuf_iterator<char>(sealed), {});
  const Wrapped theirs{"1", "RSA-OAEP", Buffer(bytes.begin(), bytes.end())};
  EXPECT_TRUE(same(value_of(vault()->unwrap("backup", theirs)), bek));
}

TEST_F(Pkcs11Test, KeysThatOthersMadeCanBeUsed) {
  make_foreign({.label = "old", .id = ""});
  make_foreign({.label = "cards", .id = "\xab\x01"});
  make_foreign({.label = "cards", .id = "7"});
  make_foreign({.label = "unwrapper", .id = "1", .decrypts = false, .unwraps = true});
  make_foreign({.label = "signer", .id = "1", .decrypts = false, .signs = true});
  make_foreign({.label = "not a name", .id = "1"});
  const auto vault = this->vault();
  std::string seen;
  for (const KekFacts& kek : value_of(vault->list_keks())) {
    seen += kek.name + " " + kek.type;
    for (const VersionFacts& version : kek.versions) seen += " " + version.version;
    seen += "; ";
  }
  EXPECT_EQ(seen, "cards RSA-2048 0xab01 7; old RSA-2048 1; unwrapper RSA-2048 1; ");
  for (const char* kek : {"old", "cards", "unwrapper"}) {
    for (const std::size_t size : {32, 4096}) {
      const SecretBytes bek = SecretBytes::random(size);
      const Wrapped wrapped = value_of(vault->wrap(kek, bek));
      EXPECT_TRUE(same(value_of(vault->unwrap(kek, wrapped)), bek)) << kek << " " << size;
    }
  }
  EXPECT_EQ(value_of(vault->rotate_kek("cards")).versions.back().version, "8");
  EXPECT_EQ(value_of(vault->rotate_kek("old")).versions.back().version, "2");
  EXPECT_EQ(vault->get_kek("signer").error().code, ErrorCode::kek_missing);
}

TEST_F(Pkcs11Test, TwoKeysOfOneVersionAreNotGuessedAt) {
  make_foreign({.label = "backup", .id = "1"});
  make_foreign({.label = "backup", .id = "1"});
  EXPECT_EQ(value_of(vault()->get_kek("backup")).versions.size(), 1U);
  const auto wrapped = vault()->wrap("backup", SecretBytes::random(32));
  EXPECT_EQ(wrapped.error().code, ErrorCode::hsm_failed);
  EXPECT_THAT(wrapped.error().message(), HasSubstr("two private keys of this label and CKA_ID"));
}

TEST_F(Pkcs11Test, DeletingTakesBothHalvesAndNothingElse) {
  make_foreign({.label = "backup", .id = "9", .decrypts = false, .signs = true});
  ASSERT_TRUE(vault()->create_kek("backup", KekType::rsa_3072));
  ASSERT_TRUE(vault()->create_kek("other", KekType::rsa_3072));
  expect_ok(vault()->delete_kek("backup"));
  const auto session = value_of(TokenSession::open({kSoftHsm, kLabel, SoftHsm::instance().pin_file()}));
  EXPECT_EQ(objects(*session, CKO_PRIVATE_KEY, "backup").size(), 1U) << "the signing key";
  EXPECT_EQ(objects(*session, CKO_PUBLIC_KEY, "backup").size(), 1U);
  EXPECT_EQ(objects(*session, CKO_PRIVATE_KEY, "other").size(), 1U);
}

TEST_F(Pkcs11Test, KindsOfKeysThatItDoesNotMakeAreRefused) {
  EXPECT_EQ(vault()->create_kek("backup", KekType::x25519).error().code, ErrorCode::kek_wrong_type);
  use_shim();
  shim().generate_answer = CKR_KEY_SIZE_RANGE;
  EXPECT_EQ(vault()->create_kek("backup", KekType::rsa_4096).error().code, ErrorCode::kek_wrong_type);
  shim().generate_answer = CKR_DEVICE_MEMORY;
  const auto full = vault()->create_kek("backup", KekType::rsa_4096);
  EXPECT_EQ(full.error().code, ErrorCode::hsm_failed);
  EXPECT_THAT(full.error().message(), HasSubstr("C_GenerateKeyPair: CKR_DEVICE_MEMORY (0x31)"));
}

TEST_F(Pkcs11Test, KeysAreNeitherBackedUpNorRestored) {
  const auto vault = this->vault();
  EXPECT_FALSE(vault->keks_are_portable());
  const EscrowKeys owner = escrow_keys_of(SecretBytes::random(32));
  const auto backup = vault->backup_kek("backup", "1", {&owner.public_half, 1});
  EXPECT_EQ(backup.error().code, ErrorCode::not_supported_yet);
  EXPECT_THAT(backup.error().message(), HasSubstr("never leaves the HSM"));
  const auto restored = vault->restore_kek({}, owner);
  EXPECT_EQ(restored.error().code, ErrorCode::not_supported_yet);
  EXPECT_THAT(restored.error().message(), HasSubstr("restore into a local vault"));
}

VaultUnderTest make_hsm(const std::string& module, bool sha256) {
  VaultUnderTest made;
  SoftHsm& hsm = SoftHsm::instance();
  if (!hsm.why_not().empty()) {
    made.why_not = hsm.why_not();
    return made;
  }
  hsm.write_pin(kPin);
  reset_shim();
  SoftHsm::shim().knows_sha256 = sha256;
  clear_token();
  const auto place = std::make_shared<Place>();
  place->settings.module = module;
  made.keeps = place;
  made.open_again = [place = place.get()](const std::string& principal) { return value_of(place->open(principal)); };
  made.vault = made.open_again("admin");
  return made;
}

VaultKind hsm_kind(const char* name, const char* module, bool sha256) {
  VaultKind kind;
  kind.name = name;
  kind.make = [module, sha256] { return make_hsm(module, sha256); };
  kind.principal = "admin";
  kind.type = KekType::rsa_3072;
  return kind;
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Pkcs11, KeyVaultContract,
                         testing::Values(hsm_kind("SoftHsm", kSoftHsm, false),
                                         hsm_kind("HsmWithSha256", CAIRN_PKCS11_SHIM, true)),
                         name_of_kind);

}  // namespace cairn
