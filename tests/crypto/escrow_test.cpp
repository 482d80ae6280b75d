// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/escrow.h"

#include <gtest/gtest.h>

#include "crypto/key_ring.h"
#include "crypto/key_slots.h"

namespace cairn {
namespace {

class Escrow : public testing::Test {
 protected:
  void SetUp() override { start_crypto(); }
  const SecretBytes secret_ = SecretBytes::copy_of(as_bytes("the private half of a KEK"));
};

TEST_F(Escrow, OpensForTheMasterKeyAndForTheRecoveryKey) {
  const KeyRing ring{SecretBytes::random(kMasterKeyBytes)};
  const RecoveryKeyPair paper = make_recovery_key();
  const std::vector<EscrowOwner> owners = {ring.escrow_keys().public_half, paper.public_half};
  const Buffer sealed = seal_escrow(secret_, owners, "kek main 1");
  const EscrowKeys paper_keys = escrow_keys_of(paper.secret);
  EXPECT_EQ(paper_keys.public_half, paper.public_half);
  for (const EscrowKeys* keys : {&ring.escrow_keys(), &paper_keys}) {
    const auto opened = open_escrow(sealed, *keys, "kek main 1", "test");
    ASSERT_TRUE(opened) << opened.error().message();
    EXPECT_EQ(as_text(opened->reveal()), as_text(secret_.reveal()));
  }
}

TEST_F(Escrow, ClosedToOthersAndToOtherContexts) {
  const EscrowKeys owner = escrow_keys_of(SecretBytes::random(32));
  const EscrowKeys other_owner = escrow_keys_of(SecretBytes::random(32));
  const Buffer sealed = seal_escrow(secret_, std::vector<EscrowOwner>{owner.public_half}, "kek main 1");
  EXPECT_EQ(open_escrow(sealed, other_owner, "kek main 1", "x").error().code, ErrorCode::escrow_damaged);
  EXPECT_EQ(open_escrow(sealed, owner, "kek main 2", "x").error().code, ErrorCode::escrow_damaged);
}

TEST_F(Escrow, EveryDamagedByteAndEveryLengthIsRefused) {
  const EscrowKeys owner = escrow_keys_of(SecretBytes::random(32));
  const Buffer sealed = seal_escrow(secret_, std::vector<EscrowOwner>{owner.public_half}, "c");
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    Buffer damaged = sealed;
    damaged[i] ^= 1;
    EXPECT_FALSE(open_escrow(damaged, owner, "c", "x")) << i;
    EXPECT_FALSE(open_escrow(ByteView(sealed).first(i), owner, "c", "x")) << i;
  }
  EXPECT_TRUE(open_escrow(sealed, owner, "c", "x"));
}

TEST_F(Escrow, TheSecretIsNotInIt) {
  const EscrowKeys owner = escrow_keys_of(SecretBytes::random(32));
  const Buffer sealed = seal_escrow(secret_, std::vector<EscrowOwner>{owner.public_half}, "c");
  EXPECT_EQ(as_text(sealed).find(as_text(secret_.reveal())), std::string_view::npos);
}

TEST(KeyRing, FingerprintsAreTheSameForTheSameKeyAndStoreOnly) {
  start_crypto();
  const KeyRing ring{SecretBytes::random(kMasterKeyBytes)};
  const KeyRing other{SecretBytes::random(kMasterKeyBytes)};
  const SecretBytes key = SecretBytes::random(64);
  EXPECT_EQ(ring.fingerprint(key), ring.fingerprint(key));
  EXPECT_NE(ring.fingerprint(key), ring.fingerprint(SecretBytes::random(64)));
  EXPECT_NE(ring.fingerprint(key), other.fingerprint(key));
}

}  // namespace
}  // namespace cairn
