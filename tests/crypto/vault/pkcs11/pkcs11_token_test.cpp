// SPDX-License-Identifier: GPL-3.0-or-later
// The token of an HSM that is locked, gone, of another PIN or in trouble, and its use by many.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/crypto/vault/pkcs11/pkcs11_place.h"

namespace cairn {
namespace {

using testing::HasSubstr;

TEST_F(Pkcs11Test, AWrongPinIsTriedOnceAndNeverAgain) {
  use_shim();
  SoftHsm::instance().write_pin("wrong-pin\n");
  Error error = error_of_open();
  EXPECT_EQ(error.code, ErrorCode::hsm_pin_wrong);
  EXPECT_THAT(error.because, HasSubstr("CKR_PIN_INCORRECT"));
  EXPECT_THAT(error.message(), testing::Not(HasSubstr("wrong-pin")));
  EXPECT_EQ(shim().logins, 1U);
  error = error_of_open();
  EXPECT_EQ(error.code, ErrorCode::hsm_pin_wrong);
  EXPECT_THAT(error.because, HasSubstr("was not tried again"));
  EXPECT_EQ(shim().logins, 1U);
  SoftHsm::instance().write_pin(kPin);
  EXPECT_TRUE(place_->open());
  EXPECT_EQ(shim().logins, 2U);
}

TEST_F(Pkcs11Test, ALockedTokenSaysSo) {
  use_shim();
  shim().login_answer = CKR_PIN_LOCKED;
  EXPECT_EQ(error_of_open().code, ErrorCode::hsm_token_locked);
  EXPECT_EQ(shim().logins, 1U);
  shim().token_flags = CKF_USER_PIN_LOCKED;
  EXPECT_EQ(error_of_open().code, ErrorCode::hsm_token_locked);
  EXPECT_EQ(shim().logins, 1U) << "the token has said it already";
}

TEST_F(Pkcs11Test, TheLastTryIsLeftToPeople) {
  use_shim();
  shim().token_flags = CKF_USER_PIN_FINAL_TRY;
  const Error error = error_of_open();
  EXPECT_EQ(error.code, ErrorCode::hsm_pin_wrong);
  EXPECT_THAT(error.message(), HasSubstr("one more wrong PIN locks the token, so none was tried; log in by hand once"));
  EXPECT_EQ(shim().logins, 0U);
}

TEST_F(Pkcs11Test, AnAbsentTokenIsToldWithThoseThatArePresent) {
  place_->settings.token = "cairn tset";
  Error error = error_of_open();
  EXPECT_EQ(error.code, ErrorCode::hsm_unavailable);
  EXPECT_THAT(error.message(), HasSubstr("\"cairn test\""));
  place_->settings.token = "twin";
  error = error_of_open();
  EXPECT_EQ(error.code, ErrorCode::hsm_unavailable);
  EXPECT_THAT(error.message(), HasSubstr("2 tokens have that label"));
}

TEST_F(Pkcs11Test, AnAbsentModuleAndOneThatIsNoneAreTold) {
  place_->settings.module = "/no/such/module.so";
  Error error = error_of_open();
  EXPECT_EQ(error.code, ErrorCode::hsm_unavailable);
  EXPECT_THAT(error.message(), HasSubstr("/no/such/module.so"));
  place_->settings.module = "libm.so.6";
  error = error_of_open();
  EXPECT_EQ(error.code, ErrorCode::hsm_unavailable);
  EXPECT_THAT(error.message(), HasSubstr("no PKCS #11 library"));
}

TEST_F(Pkcs11Test, ThePinFileIsReadAsKeyFilesAre) {
  SoftHsm::instance().write_pin(kPin, 0644);
  EXPECT_EQ(error_of_open().code, ErrorCode::key_file_permissions);
  SoftHsm::instance().write_pin("\n");
  EXPECT_EQ(error_of_open().code, ErrorCode::key_file_invalid);
  place_->settings.pin_file = "/no/such/file";
  EXPECT_EQ(error_of_open().code, ErrorCode::key_file_missing);
}

TEST_F(Pkcs11Test, VaultsOfOneProcessShareTheLogin) {
  use_shim();
  auto first = vault();
  const auto second = vault();
  EXPECT_EQ(shim().logins, 1U);
  ASSERT_TRUE(first->create_kek("backup", KekType::rsa_3072));
  first.reset();
  const SecretBytes bek = SecretBytes::random(32);
  EXPECT_TRUE(same(value_of(second->unwrap("backup", value_of(second->wrap("backup", bek)))), bek));
}

TEST_F(Pkcs11Test, ATokenThatIsBackIsUsedAgain) {
  use_shim();
  const auto vault = this->vault();
  ASSERT_TRUE(vault->create_kek("backup", KekType::rsa_3072));
  const SecretBytes bek = SecretBytes::random(32);
  const Wrapped wrapped = value_of(vault->wrap("backup", bek));
  shim().losses = 1;
  EXPECT_TRUE(same(value_of(vault->unwrap("backup", wrapped)), bek));
  EXPECT_EQ(shim().logins, 2U);
  shim().losses = 2;
  const auto gone = vault->unwrap("backup", wrapped);
  EXPECT_EQ(gone.error().code, ErrorCode::hsm_unavailable);
  EXPECT_THAT(gone.error().message(), HasSubstr("CKR_DEVICE_REMOVED"));
  EXPECT_TRUE(same(value_of(vault->unwrap("backup", wrapped)), bek)) << "and when it is back later";

  // The PIN was changed while it was away.
  SoftHsm::instance().write_pin("another-pin");
  shim().losses = 1;
  shim().logins = 0;
  EXPECT_EQ(vault->unwrap("backup", wrapped).error().code, ErrorCode::hsm_pin_wrong);
  EXPECT_EQ(vault->unwrap("backup", wrapped).error().code, ErrorCode::hsm_pin_wrong);
  EXPECT_EQ(shim().logins, 1U);
}

TEST_F(Pkcs11Test, TroubleOfTheTokenIsNotCalledDamage) {
  use_shim();
  const auto vault = this->vault();
  ASSERT_TRUE(vault->create_kek("backup", KekType::rsa_3072));
  const Wrapped wrapped = value_of(vault->wrap("backup", SecretBytes::random(32)));
  shim().decrypt_answer = CKR_GENERAL_ERROR;
  const auto failed = vault->unwrap("backup", wrapped);
  EXPECT_EQ(failed.error().code, ErrorCode::hsm_failed);
  EXPECT_THAT(failed.error().message(), HasSubstr("C_Decrypt: CKR_GENERAL_ERROR (0x5)"));
  EXPECT_EQ(vault->wrap("backup", SecretBytes::random(32)).error().code, ErrorCode::hsm_failed)
      << "what the token cannot unwrap is not handed out";
}

TEST_F(Pkcs11Test, ItsUseIsInTheAuditLogBesideIt) {
  ASSERT_TRUE(vault()->create_kek("backup", KekType::rsa_3072));
  EXPECT_EQ(value_of(place_->open("cairn-backup"))->create_kek("other", KekType::rsa_3072).error().code,
            ErrorCode::vault_denied);
  const UnlockKey key{KeySlotType::key_file, value_of(read_key_file(*place_->settings.key.key_file)), "test"};
  const auto entries = value_of(value_of(LocalVault::open("main", place_->settings.path, key, "admin"))->audit(3));
  std::string seen;
  for (const AuditEntry& entry : entries)
    seen += entry.principal + " " + entry.operation + " " + entry.object + " " + entry.outcome + "; ";
  EXPECT_THAT(seen, HasSubstr("admin keys:create key main/backup done; "));
  EXPECT_THAT(seen, HasSubstr("cairn-backup keys:create key main/other refused; "));
}

TEST_F(Pkcs11Test, ManyThreadsMayUseIt) {
  const auto vault = this->vault();
  ASSERT_TRUE(vault->create_kek("backup", KekType::rsa_3072));
  std::atomic<unsigned> good{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (unsigned turn = 0; turn < 8; ++turn) {
        const SecretBytes bek = SecretBytes::random(64);
        const auto wrapped = vault->wrap("backup", bek);
        if (!wrapped) continue;
        const auto back = vault->unwrap("backup", *wrapped);
        if (back && same(*back, bek)) ++good;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 32U);
}

}  // namespace
}  // namespace cairn
