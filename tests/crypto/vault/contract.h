// SPDX-License-Identifier: GPL-3.0-or-later
// What every key vault must do, whoever provides it. Include it in one source file of a test program and say
//   INSTANTIATE_TEST_SUITE_P(Local, KeyVaultContract, ::testing::Values(kind), name_of_kind);
// What a vault says it does not support yet is skipped, with its reason.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "crypto/key_slots.h"
#include "crypto/vault/key_vault.h"

namespace cairn {

// A vault and what must live as long.
struct VaultUnderTest {
  std::shared_ptr<void> keeps;
  std::unique_ptr<KeyVault> vault;  // as a principal that may do all; null: `why_not`
  // The same vault opened again as this principal; not set: the vault cannot.
  std::function<std::unique_ptr<KeyVault>(const std::string& principal)> open_again;
  std::string why_not;
};

struct VaultKind {
  std::string name;                      // of the test: letters and digits
  std::function<VaultUnderTest()> make;  // a new vault without secrets, another one each time
  std::string principal = "cairn-backup";
  KekType type = KekType::x25519;  // of the keys to create
  std::string existing_kek;        // where keys cannot be created: one that is there
  bool has_policy = true;
  bool numbers_versions = true;  // "1", "2", ...
};
inline void PrintTo(const VaultKind& kind, std::ostream* to) {
  *to << kind.name;
}
inline std::string name_of_kind(const ::testing::TestParamInfo<VaultKind>& kind) {
  return kind.param.name;
}

class KeyVaultContract : public ::testing::TestWithParam<VaultKind> {
 protected:
  void SetUp() override {
    start_crypto();
    made_ = GetParam().make();
    if (!made_.vault) GTEST_SKIP() << made_.why_not;
  }
  [[nodiscard]] KeyVault& vault() { return *made_.vault; }

  // A key to wrap with: made, or the one that is there.
  std::string kek() {
    if (!GetParam().existing_kek.empty()) return GetParam().existing_kek;
    const auto created = vault().create_kek("backup", GetParam().type);
    EXPECT_TRUE(created) << created.error().message();
    return "backup";
  }
  static SecretBytes secret(std::size_t size, std::uint8_t seed = 7) {
    SecretBytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes.reveal()[i] = static_cast<std::uint8_t>(seed + i * 31 + i / 256);
    return bytes;
  }
  static bool same(const SecretBytes& a, const SecretBytes& b) { return as_text(a.reveal()) == as_text(b.reveal()); }
  WrappedBek bek(const std::string& with, std::uint8_t seed = 7) {
    WrappedBek made;
    made.type = BekType::luks_key_file;
    made.file_name = "web-01.key";
    made.kek = with;
    const auto wrapped = vault().wrap(with, secret(64, seed));
    EXPECT_TRUE(wrapped) << wrapped.error().message();
    made.wrapped = *wrapped;
    made.created = UtcTime(std::chrono::seconds(1'795'219'200));
    return made;
  }
  static EscrowKeys owner() {
    const RecoveryKeyPair pair = make_recovery_key();
    return {SecretBytes::copy_of(pair.secret.reveal()), pair.public_half};
  }

  VaultUnderTest made_;
};

// Skips when the vault does not do this; fails with the message of any other error.
#define CAIRN_NEEDS(result)                                                                                       \
  do {                                                                                                            \
    const auto& needed = (result);                                                                                \
    if (!needed && needed.error().code == ErrorCode::not_supported_yet) GTEST_SKIP() << needed.error().message(); \
    ASSERT_TRUE(needed) << needed.error().message();                                                              \
  } while (false)

TEST_P(KeyVaultContract, CreatedKeysAreListedAndFound) {
  const auto created = vault().create_kek("nightly", GetParam().type);
  CAIRN_NEEDS(created);
  EXPECT_EQ(created->name, "nightly");
  EXPECT_EQ(created->type, to_string(GetParam().type));
  ASSERT_EQ(created->versions.size(), 1U);
  const auto found = vault().get_kek("nightly");
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(found->type, created->type);
  EXPECT_EQ(found->versions.back().version, created->versions.back().version);
  const auto listed = vault().list_keks();
  ASSERT_TRUE(listed) << listed.error().message();
  EXPECT_EQ(std::ranges::count_if(*listed, [](const KekFacts& kek) { return kek.name == "nightly"; }), 1);
}

TEST_P(KeyVaultContract, CreateNeverReplacesAKey) {
  const auto first = vault().create_kek("nightly", GetParam().type);
  CAIRN_NEEDS(first);
  const auto wrapped = vault().wrap("nightly", secret(32));
  ASSERT_TRUE(wrapped);
  const auto second = vault().create_kek("nightly", GetParam().type);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kek_exists);
  EXPECT_TRUE(vault().unwrap("nightly", *wrapped));
}

TEST_P(KeyVaultContract, AMissingKeyIsToldWithTheNearestName) {
  const std::string near = kek();
  const auto missing = vault().get_kek(near + "x");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kek_missing);
  EXPECT_THAT(missing.error().message(), ::testing::HasSubstr("did you mean"));
  EXPECT_EQ(vault().wrap("no-such-thing", secret(1)).error().code, ErrorCode::kek_missing);
  EXPECT_EQ(vault().unwrap("no-such-thing", {"1", "X25519-sealed-box", Buffer(80)}).error().code,
            ErrorCode::kek_missing);
}

TEST_P(KeyVaultContract, UnwrapsWhatItWrapped) {
  const std::string with = kek();
  // Around what RSA-3072 and RSA-4096 take in one piece, and both ends.
  for (const std::size_t size : {1, 32, 318, 319, 446, 447, 4096, 65536}) {
    SCOPED_TRACE(size);
    const SecretBytes clear = secret(size);
    const auto wrapped = vault().wrap(with, clear);
    ASSERT_TRUE(wrapped) << wrapped.error().message();
    EXPECT_FALSE(wrapped->version.empty());
    EXPECT_FALSE(wrapped->algorithm.empty());
    const auto back = vault().unwrap(with, *wrapped);
    ASSERT_TRUE(back) << back.error().message();
    EXPECT_TRUE(same(*back, clear));
  }
}

TEST_P(KeyVaultContract, WrapsTheSameBekDifferentlyEachTime) {
  const std::string with = kek();
  const auto one = vault().wrap(with, secret(64));
  const auto two = vault().wrap(with, secret(64));
  ASSERT_TRUE(one && two);
  EXPECT_NE(one->bytes, two->bytes);
}

TEST_P(KeyVaultContract, RefusesWrappedBytesThatWereAltered) {
  const std::string with = kek();
  for (const std::size_t size : {32, 1000}) {
    const auto wrapped = vault().wrap(with, secret(size));
    ASSERT_TRUE(wrapped);
    for (std::size_t at = 0; at < wrapped->bytes.size(); at += 1 + wrapped->bytes.size() / 23) {
      SCOPED_TRACE(at);
      Wrapped altered = *wrapped;
      altered.bytes[at] ^= 0x20U;
      EXPECT_EQ(vault().unwrap(with, altered).error().code, ErrorCode::unwrap_failed);
    }
    for (const std::size_t left : {std::size_t{0}, std::size_t{1}, wrapped->bytes.size() - 1}) {
      Wrapped cut = *wrapped;
      cut.bytes.resize(left);
      EXPECT_EQ(vault().unwrap(with, cut).error().code, ErrorCode::unwrap_failed) << left;
    }
  }
}

TEST_P(KeyVaultContract, RefusesWhatAnotherKindOfKeyOrAnotherVersionWrapped) {
  const std::string with = kek();
  const auto wrapped = vault().wrap(with, secret(32));
  ASSERT_TRUE(wrapped);
  Wrapped other = *wrapped;
  other.algorithm = "ROT13";
  EXPECT_EQ(vault().unwrap(with, other).error().code, ErrorCode::kek_wrong_type);
  other = *wrapped;
  other.version = "4711";
  EXPECT_EQ(vault().unwrap(with, other).error().code, ErrorCode::kek_missing);
}

TEST_P(KeyVaultContract, RotatedKeysStillUnwrapWhatOldVersionsWrapped) {
  const std::string with = kek();
  const auto old = vault().wrap(with, secret(32));
  ASSERT_TRUE(old);
  const auto rotated = vault().rotate_kek(with);
  CAIRN_NEEDS(rotated);
  ASSERT_EQ(rotated->versions.size(), 2U);
  EXPECT_EQ(rotated->versions.front().version, old->version);
  const auto fresh = vault().wrap(with, secret(32, 9));
  ASSERT_TRUE(fresh);
  EXPECT_EQ(fresh->version, rotated->versions.back().version);
  EXPECT_NE(fresh->version, old->version);
  EXPECT_TRUE(same(vault().unwrap(with, *old).value(), secret(32)));
  EXPECT_TRUE(same(vault().unwrap(with, *fresh).value(), secret(32, 9)));
  // The versions are different keys.
  Wrapped mixed = *old;
  mixed.version = fresh->version;
  EXPECT_EQ(vault().unwrap(with, mixed).error().code, ErrorCode::unwrap_failed);
  EXPECT_EQ(vault().rotate_kek("no-such-thing").error().code, ErrorCode::kek_missing);
}

TEST_P(KeyVaultContract, DeletedKeysAreGone) {
  const std::string with = kek();
  const auto deleted = vault().delete_kek(with);
  CAIRN_NEEDS(deleted);
  EXPECT_EQ(vault().get_kek(with).error().code, ErrorCode::kek_missing);
  EXPECT_EQ(vault().wrap(with, secret(1)).error().code, ErrorCode::kek_missing);
  EXPECT_EQ(vault().delete_kek(with).error().code, ErrorCode::kek_missing);
}

TEST_P(KeyVaultContract, SecretsKeepTheirVersionsAndGiveTheNewest) {
  const std::string with = kek();
  const WrappedBek first = bek(with, 1);
  const WrappedBek second = bek(with, 2);
  const auto one = vault().set_secret("web-01-root", first);
  CAIRN_NEEDS(one);
  EXPECT_EQ(vault().get_secret("web-01-root").value().bek, first);
  const auto two = vault().set_secret("web-01-root", second);
  ASSERT_TRUE(two);
  EXPECT_NE(*one, *two);
  const auto got = vault().get_secret("web-01-root");
  ASSERT_TRUE(got);
  EXPECT_EQ(got->version, *two);
  EXPECT_EQ(got->bek, second);
  const auto listed = vault().list_secrets();
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), 1U);
  EXPECT_EQ(listed->front().name, "web-01-root");
  ASSERT_GE(listed->front().versions.size(), 1U);
  const SecretVersionFacts& newest = listed->front().versions.back();
  EXPECT_EQ(newest.version, *two);
  EXPECT_EQ(newest.kek, with);
  EXPECT_EQ(newest.kek_version, second.wrapped.version);
  EXPECT_EQ(newest.type, BekType::luks_key_file);
  EXPECT_EQ(newest.file_name, "web-01.key");
}

TEST_P(KeyVaultContract, AMissingSecretIsToldWithTheNearestName) {
  CAIRN_NEEDS(vault().set_secret("web-01-root", bek(kek())));
  const auto missing = vault().get_secret("web-01-rot");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::secret_missing);
  EXPECT_THAT(missing.error().message(), ::testing::HasSubstr("web-01-root"));
}

TEST_P(KeyVaultContract, DeletedSecretsAreGone) {
  CAIRN_NEEDS(vault().set_secret("web-01-root", bek(kek())));
  CAIRN_NEEDS(vault().delete_secret("web-01-root"));
  EXPECT_EQ(vault().get_secret("web-01-root").error().code, ErrorCode::secret_missing);
  EXPECT_EQ(vault().delete_secret("web-01-root").error().code, ErrorCode::secret_missing);
}

TEST_P(KeyVaultContract, NamesThatAreNoneAreRefused) {
  const WrappedBek good = bek(kek());
  for (const std::string name : {"", "../x", "a b", "-x", ".x", "a/b", "\xff"}) {
    SCOPED_TRACE(name);
    const auto made = vault().create_kek(name, GetParam().type);
    ASSERT_FALSE(made);
    EXPECT_THAT(made.error().code, ::testing::AnyOf(ErrorCode::used_wrongly, ErrorCode::not_supported_yet));
    const auto set = vault().set_secret(name, good);
    ASSERT_FALSE(set);
    EXPECT_THAT(set.error().code, ::testing::AnyOf(ErrorCode::used_wrongly, ErrorCode::not_supported_yet));
  }
}

TEST_P(KeyVaultContract, BacksUpKeysForTheOwnersAlone) {
  const std::string with = kek();
  const auto wrapped = vault().wrap(with, secret(32));
  ASSERT_TRUE(wrapped);
  const EscrowKeys owner_keys = owner();
  const EscrowKeys stranger = owner();
  const auto backup = vault().backup_kek(with, wrapped->version, {&owner_keys.public_half, 1});
  CAIRN_NEEDS(backup);
  EXPECT_EQ(backup->name, with);
  EXPECT_EQ(backup->version, wrapped->version);
  EXPECT_EQ(backup->portable, vault().keks_are_portable());
  EXPECT_TRUE(open_escrow(backup->sealed, owner_keys, backup->escrow_context(), "the test"));
  EXPECT_FALSE(open_escrow(backup->sealed, stranger, backup->escrow_context(), "the test"));
  EXPECT_FALSE(open_escrow(backup->sealed, owner_keys, "kek other 1", "the test"));
  EXPECT_EQ(vault().backup_kek(with, "4711", {&owner_keys.public_half, 1}).error().code, ErrorCode::kek_missing);
  EXPECT_EQ(vault().backup_kek("nothing-like-it", "1", {&owner_keys.public_half, 1}).error().code,
            ErrorCode::kek_missing);
}

TEST_P(KeyVaultContract, KeysAreRestoredIntoAnEmptyVaultAndUnwrapThere) {
  if (!vault().keks_are_portable()) GTEST_SKIP() << "its keys cannot be used without it";
  const std::string with = kek();
  const auto old = vault().wrap(with, secret(32));
  CAIRN_NEEDS(vault().rotate_kek(with));
  const auto fresh = vault().wrap(with, secret(32, 9));
  ASSERT_TRUE(old && fresh);
  const EscrowKeys owner_keys = owner();
  const auto first = vault().backup_kek(with, old->version, {&owner_keys.public_half, 1});
  const auto second = vault().backup_kek(with, fresh->version, {&owner_keys.public_half, 1});
  ASSERT_TRUE(first && second);

  const VaultUnderTest other = GetParam().make();
  // The newer one first: it must not become the older.
  ASSERT_EQ(other.vault->restore_kek(*second, owner_keys).value(), Restored::put_back);
  ASSERT_EQ(other.vault->restore_kek(*first, owner_keys).value(), Restored::put_back);
  EXPECT_EQ(other.vault->restore_kek(*first, owner_keys).value(), Restored::was_there);
  const auto facts = other.vault->get_kek(with);
  ASSERT_TRUE(facts);
  ASSERT_EQ(facts->versions.size(), 2U);
  EXPECT_EQ(facts->versions.front().version, old->version);
  EXPECT_EQ(facts->versions.front().created, first->created);
  EXPECT_TRUE(same(other.vault->unwrap(with, *old).value(), secret(32)));
  EXPECT_TRUE(same(other.vault->unwrap(with, *fresh).value(), secret(32, 9)));
  EXPECT_EQ(other.vault->wrap(with, secret(1)).value().version, fresh->version);
}

TEST_P(KeyVaultContract, RestoringNeverReplacesAnotherKey) {
  if (!vault().keks_are_portable()) GTEST_SKIP() << "its keys cannot be used without it";
  const std::string with = kek();
  const EscrowKeys owner_keys = owner();
  const auto backup = vault().backup_kek(with, "1", {&owner_keys.public_half, 1});
  CAIRN_NEEDS(backup);
  const VaultUnderTest other = GetParam().make();
  CAIRN_NEEDS(other.vault->create_kek(with, GetParam().type));
  const auto wrapped = other.vault->wrap(with, secret(32));
  ASSERT_TRUE(wrapped);
  EXPECT_EQ(other.vault->restore_kek(*backup, owner_keys).error().code, ErrorCode::keys_differ);
  EXPECT_TRUE(other.vault->unwrap(with, *wrapped));

  KekBackup altered = *backup;
  altered.sealed.back() ^= 1U;
  EXPECT_EQ(vault().restore_kek(altered, owner_keys).error().code, ErrorCode::escrow_damaged);
  altered = *backup;
  altered.name = "another";
  EXPECT_EQ(vault().restore_kek(altered, owner_keys).error().code, ErrorCode::escrow_damaged);
  EXPECT_EQ(vault().restore_kek(*backup, owner()).error().code, ErrorCode::escrow_damaged);
  altered = *backup;
  altered.portable = false;
  EXPECT_EQ(vault().restore_kek(altered, owner_keys).error().code, ErrorCode::not_supported_yet);
}

TEST_P(KeyVaultContract, RestoresSecretsAndNeverReplacesOthers) {
  const std::string with = kek();
  const StoredBek second{"2", bek(with, 2)};
  const auto restored = vault().restore_secret("web-01-root", second);
  CAIRN_NEEDS(restored);
  EXPECT_EQ(*restored, Restored::put_back);
  EXPECT_EQ(vault().restore_secret("web-01-root", second).value(), Restored::was_there);
  EXPECT_EQ(vault().restore_secret("web-01-root", {"1", bek(with, 1)}).value(), Restored::put_back);
  EXPECT_EQ(vault().get_secret("web-01-root").value().bek, second.bek);
  EXPECT_EQ(vault().restore_secret("web-01-root", {"2", bek(with, 3)}).error().code, ErrorCode::keys_differ);
  EXPECT_EQ(vault().get_secret("web-01-root").value().bek, second.bek);
  if (GetParam().numbers_versions) {
    EXPECT_EQ(vault().set_secret("web-01-root", second.bek).value(), "3");
    EXPECT_EQ(vault().restore_secret("web-01-root", {"7c", bek(with, 3)}).error().code, ErrorCode::used_wrongly);
  }
}

TEST_P(KeyVaultContract, WhatWasWrittenIsThereWhenItIsOpenedAgain) {
  if (!made_.open_again) GTEST_SKIP() << "this vault lives in one process";
  const std::string with = kek();
  const WrappedBek written = bek(with);
  CAIRN_NEEDS(vault().set_secret("web-01-root", written));
  const auto again = made_.open_again(GetParam().principal);
  const auto got = again->get_secret("web-01-root");
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->bek, written);
  EXPECT_TRUE(same(again->unwrap(with, got->bek.wrapped).value(), secret(64)));
}

TEST_P(KeyVaultContract, RefusesPrincipalsWithoutRightsAndSaysHowToGrantThem) {
  if (!GetParam().has_policy || !made_.open_again) GTEST_SKIP() << "this vault asks no policy of Cairn's";
  const std::string with = kek();
  const WrappedBek good = bek(with);
  const auto wrapped = vault().wrap(with, secret(1));
  ASSERT_TRUE(wrapped);
  const EscrowKeys owner_keys = owner();
  const auto stranger = made_.open_again("stranger");
  const auto refused = [&](const auto& result, const char* right) {
    if (!result && result.error().code == ErrorCode::not_supported_yet) return;
    ASSERT_FALSE(result) << right;
    EXPECT_EQ(result.error().code, ErrorCode::vault_denied) << right;
    EXPECT_THAT(result.error().message(), ::testing::HasSubstr(std::string("has no right ") + right));
    // One command for all that backups need.
    const bool for_backups = rights_of(RightsTemplate::backup).contains(*parse_right(right));
    EXPECT_THAT(result.error().message(), ::testing::HasSubstr("cairn vault grant stranger " +
                                                               std::string(for_backups ? "--template backup" : right) +
                                                               " --vault " + stranger->name()));
  };
  refused(stranger->list_keks(), "keys:list");
  refused(stranger->get_kek(with), "keys:get");
  refused(stranger->get_kek("no-such-thing"), "keys:get");  // who may not ask does not learn what there is
  refused(stranger->create_kek("other", GetParam().type), "keys:create");
  refused(stranger->rotate_kek(with), "keys:create");
  refused(stranger->delete_kek(with), "keys:delete");
  refused(stranger->wrap(with, secret(1)), "keys:wrap");
  refused(stranger->unwrap(with, *wrapped), "keys:unwrap");
  refused(stranger->backup_kek(with, wrapped->version, {&owner_keys.public_half, 1}), "keys:backup");
  refused(stranger->list_secrets(), "secrets:list");
  refused(stranger->get_secret("web-01-root"), "secrets:get");
  refused(stranger->set_secret("web-01-root", good), "secrets:set");
  refused(stranger->restore_secret("web-01-root", {"1", good}), "secrets:restore");
  refused(stranger->delete_secret("web-01-root"), "secrets:delete");
  const auto missing = stranger->missing_rights(all_rights());
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->size(), all_rights().size());
  EXPECT_TRUE(vault().missing_rights(all_rights()).value().empty());
}

}  // namespace cairn
