// SPDX-License-Identifier: GPL-3.0-or-later
// The contract suite on the local vault, with each type of key, and on the fake.
#include "tests/crypto/vault/contract.h"

#include "tests/crypto/vault/vault_place.h"
#include "tests/support/fake_vault.h"

namespace cairn {
namespace {

VaultKind local(KekType type, const char* name) {
  VaultKind kind;
  kind.name = name;
  kind.principal = "admin";
  kind.type = type;
  kind.make = [] {
    const auto place = std::make_shared<VaultPlace>();
    place->create();
    VaultUnderTest made;
    made.keeps = place;
    made.vault = place->open();
    made.open_again = [place](const std::string& principal) { return place->open(principal); };
    return made;
  };
  return kind;
}

VaultKind fake() {
  VaultKind kind;
  kind.name = "Fake";
  kind.make = [] {
    VaultUnderTest made;
    auto vault = std::make_unique<FakeVault>();
    made.open_again = [inside = vault->inside()](const std::string& principal) {
      return std::make_unique<FakeVault>("main", principal, inside);
    };
    made.vault = std::move(vault);
    return made;
  };
  return kind;
}

INSTANTIATE_TEST_SUITE_P(Vaults, KeyVaultContract,
                         ::testing::Values(local(KekType::x25519, "LocalX25519"),
                                           local(KekType::rsa_3072, "LocalRsa3072"), fake()),
                         name_of_kind);

TEST(FakeVaultOfTheTests, FailsWhenToldTo) {
  start_crypto();
  FakeVault vault;
  ASSERT_TRUE(vault.create_kek("backup", KekType::x25519));
  vault.fail(Right::keys_wrap, ErrorCode::hsm_unavailable);
  EXPECT_EQ(vault.wrap("backup", SecretBytes(1)).error().code, ErrorCode::hsm_unavailable);
  vault.repair();
  EXPECT_TRUE(vault.wrap("backup", SecretBytes(1)));
  EXPECT_EQ(vault.inside()->calls.at(Right::keys_wrap), 2U);
}

}  // namespace
}  // namespace cairn
