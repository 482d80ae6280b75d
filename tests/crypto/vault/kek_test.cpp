// SPDX-License-Identifier: GPL-3.0-or-later
// KEKs: interoperation with openssl(1), what is refused, and that private keys stay in locked memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <sodium.h>

#include <atomic>
#include <thread>

#include "crypto/key_slots.h"
#include "crypto/locked_arena.h"
#include "crypto/locked_heap.h"
#include "crypto/vault/kek_backup.h"
#include "crypto/vault/rsa_key.h"
#include "tests/support/sandbox.h"

namespace cairn {
namespace {

using cairn::testing::run;
using cairn::testing::Sandbox;
constexpr auto kRoom = locked_heap::Room::private_keys;

SecretBytes text(std::string_view from) {
  return SecretBytes::copy_of(as_bytes(from));
}
std::string shown(const Result<SecretBytes>& secret) {
  return secret ? std::string(as_text(secret->reveal())) : secret.error().message();
}
// Worthless keys, for tests only: they go through files.
SecretBytes private_half(const Kek& kek) {
  const SecretBytes encoded = kek.encode();
  return SecretBytes::copy_of(encoded.reveal().subspan(1));
}
// One for all tests: making it takes a while.
const Kek& rsa_3072() {
  static const Kek kek = Kek::generate(KekType::rsa_3072);
  return kek;
}

class Keks : public ::testing::Test {
 protected:
  void SetUp() override { start_crypto(); }
  Sandbox sandbox_;
};

const std::vector<std::string> kOaepOptions = {"-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256",
                                               "-pkeyopt", "rsa_mgf1_md:sha256"};

TEST_F(Keks, OpensslUnwrapsWhatAnRsaKeyWrapped) {
  if (!cairn::testing::have_program("openssl")) GTEST_SKIP() << "openssl is not installed";
  const Wrapped wrapped = rsa_3072().wrap(text("correct horse battery staple"));
  EXPECT_EQ(wrapped.algorithm, "RSA-OAEP-256");
  EXPECT_EQ(wrapped.bytes.size(), 384U);
  cairn::testing::write_at(sandbox_ / "key.der", 0, private_half(rsa_3072()).reveal());
  cairn::testing::write_at(sandbox_ / "wrapped", 0, wrapped.bytes);
  std::vector<std::string> command = {
      "openssl", "pkeyutl", "-decrypt", "-keyform", "DER", "-inkey", sandbox_ / "key.der", "-in", sandbox_ / "wrapped"};
  command.insert(command.end(), kOaepOptions.begin(), kOaepOptions.end());
  const auto unwrapped = run(command);
  EXPECT_EQ(unwrapped.status, 0) << unwrapped.output;
  EXPECT_EQ(unwrapped.output, "correct horse battery staple");
}

TEST_F(Keks, UnwrapsWhatOpensslWrappedWithThePublicHalf) {
  if (!cairn::testing::have_program("openssl")) GTEST_SKIP() << "openssl is not installed";
  cairn::testing::write_at(sandbox_ / "public.der", 0, rsa_3072().public_half());
  cairn::testing::write_at(sandbox_ / "bek", 0, as_bytes("Tr0ub4dor&3"));
  std::vector<std::string> command = {"openssl",  "pkeyutl",
                                      "-encrypt", "-pubin",
                                      "-keyform", "DER",
                                      "-inkey",   sandbox_ / "public.der",
                                      "-in",      sandbox_ / "bek",
                                      "-out",     sandbox_ / "wrapped"};
  command.insert(command.end(), kOaepOptions.begin(), kOaepOptions.end());
  const auto done = run(command);
  ASSERT_EQ(done.status, 0) << done.output;
  const Wrapped wrapped{"1", "RSA-OAEP-256", cairn::testing::read_all(sandbox_ / "wrapped")};
  EXPECT_EQ(shown(rsa_3072().unwrap(wrapped, "it")), "Tr0ub4dor&3");
}

TEST_F(Keks, TakesAKeyThatOpensslMade) {
  if (!cairn::testing::have_program("openssl")) GTEST_SKIP() << "openssl is not installed";
  const auto made = run({"openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072",
                         "-out", sandbox_ / "key.pem"});
  ASSERT_EQ(made.status, 0) << made.output;
  const auto der = run({"openssl", "pkcs8", "-topk8", "-nocrypt", "-in", sandbox_ / "key.pem", "-outform", "DER",
                        "-out", sandbox_ / "key.der"});
  ASSERT_EQ(der.status, 0) << der.output;
  Buffer encoded{2};
  append(encoded, cairn::testing::read_all(sandbox_ / "key.der"));
  const auto kek = Kek::decode(SecretBytes::copy_of(encoded), "it");
  ASSERT_TRUE(kek) << kek.error().message();
  EXPECT_EQ(shown(kek->unwrap(kek->wrap(text("x")), "it")), "x");
}

// The layout that VAULT.md gives, put together from openssl's and libsodium's parts.
TEST_F(Keks, LongBeksAreSealedUnderAWrappedKey) {
  const SecretBytes bek = SecretBytes::random(319);  // one more than RSA-3072 takes
  EXPECT_EQ(rsa_3072().wrap(SecretBytes::random(318)).algorithm, "RSA-OAEP-256");
  const Wrapped wrapped = rsa_3072().wrap(bek);
  EXPECT_EQ(wrapped.algorithm, "RSA-OAEP-256+XChaCha20-Poly1305");
  ASSERT_EQ(wrapped.bytes.size(), 384U + 24 + 319 + 16);
  const ByteView bytes = wrapped.bytes;
  const auto key = rsa_key::decrypt(private_half(rsa_3072()), bytes.first(384));
  ASSERT_TRUE(key);
  ASSERT_EQ(key->size(), 32U);
  Buffer clear(319);
  const std::string_view context = "RSA-OAEP-256+XChaCha20-Poly1305";
  ASSERT_EQ(crypto_aead_xchacha20poly1305_ietf_decrypt(clear.data(), nullptr, nullptr, bytes.data() + 408, 335,
                                                       as_bytes(context).data(), context.size(), bytes.data() + 384,
                                                       key->reveal().data()),
            0);
  EXPECT_EQ(as_text(clear), as_text(bek.reveal()));
}

TEST_F(Keks, X25519IsLibsodiumsSealedBox) {
  const Kek kek = Kek::generate(KekType::x25519);
  Buffer box(5 + crypto_box_SEALBYTES);
  crypto_box_seal(box.data(), as_bytes("hello").data(), 5, kek.public_half().data());
  EXPECT_EQ(shown(kek.unwrap({"1", "X25519-sealed-box", box}, "it")), "hello");
  const Wrapped wrapped = kek.wrap(text("hello"));
  EXPECT_EQ(wrapped.algorithm, "X25519-sealed-box");
  Buffer opened(5);
  EXPECT_EQ(crypto_box_seal_open(opened.data(), wrapped.bytes.data(), wrapped.bytes.size(), kek.public_half().data(),
                                 private_half(kek).reveal().data()),
            0);
  EXPECT_EQ(as_text(opened), "hello");
}

// RFC 7748, section 6.1, Alice.
TEST_F(Keks, ThePublicHalfIsThePublishedOne) {
  Buffer encoded{1};
  append(encoded, *from_hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
  const auto kek = Kek::decode(SecretBytes::copy_of(encoded), "it");
  ASSERT_TRUE(kek);
  EXPECT_EQ(to_hex(kek->public_half()), "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
}

TEST_F(Keks, ComeBackFromTheirBytes) {
  for (const KekType type : {KekType::x25519, KekType::rsa_3072, KekType::rsa_4096}) {
    SCOPED_TRACE(to_string(type));
    const Kek kek = Kek::generate(type);
    const auto again = Kek::decode(kek.encode(), "it");
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(again->type(), type);
    EXPECT_EQ(again->public_half(), kek.public_half());
    EXPECT_EQ(shown(again->unwrap(kek.wrap(text("x")), "it")), "x");
  }
}

TEST_F(Keks, RefuseBytesThatAreNoKey) {
  const auto refused = [](Buffer bytes) {
    const auto kek = Kek::decode(SecretBytes::copy_of(bytes), "it");
    return !kek && kek.error().code == ErrorCode::escrow_damaged;
  };
  EXPECT_TRUE(refused({}));
  EXPECT_TRUE(refused(Buffer(33, 0)));
  EXPECT_TRUE(refused(Buffer(33, 4)));
  EXPECT_TRUE(refused(Buffer(32, 1)));
  EXPECT_TRUE(refused(Buffer(34, 1)));
  EXPECT_FALSE(refused(Buffer(33, 1)));
  EXPECT_TRUE(refused({2}));
  const SecretBytes encoded = rsa_3072().encode();
  const Buffer good(encoded.reveal().begin(), encoded.reveal().end());
  EXPECT_FALSE(refused(good));
  Buffer wrong = good;
  wrong[0] = 3;  // it is no RSA-4096 key
  EXPECT_TRUE(refused(wrong));
  wrong = good;
  wrong.push_back(0);
  EXPECT_TRUE(refused(wrong));
  wrong = good;
  wrong.pop_back();
  EXPECT_TRUE(refused(wrong));
}

TEST_F(Keks, RefuseWhatAnotherTypeWrapped) {
  const Kek curve = Kek::generate(KekType::x25519);
  EXPECT_EQ(curve.unwrap(rsa_3072().wrap(text("x")), "it").error().code, ErrorCode::kek_wrong_type);
  EXPECT_EQ(rsa_3072().unwrap(curve.wrap(text("x")), "it").error().code, ErrorCode::kek_wrong_type);
  EXPECT_EQ(curve.unwrap(Kek::generate(KekType::x25519).wrap(text("x")), "it").error().code, ErrorCode::unwrap_failed);
}

TEST_F(Keks, ABackupThatSaysAnotherTypeThanItHoldsIsRefused) {
  const RecoveryKeyPair pair = make_recovery_key();
  const EscrowKeys owner{SecretBytes::copy_of(pair.secret.reveal()), pair.public_half};
  const Kek kek = Kek::generate(KekType::x25519);
  KekBackup backup{"backup", "1", "X25519", {}, true, {}};
  backup.sealed = seal_escrow(kek.encode(), {&owner.public_half, 1}, backup.escrow_context());
  ASSERT_TRUE(open_kek_backup(backup, owner, "it"));
  backup.type = "RSA-3072";
  EXPECT_EQ(open_kek_backup(backup, owner, "it").error().code, ErrorCode::escrow_damaged);
}

// All that libcrypto allocates while it holds a private key lies in the locked heap, is given back, and nothing of it
// stays: not by many threads at once, and not by threads that end.
TEST_F(Keks, PrivateKeysLieInLockedMemoryAndNothingOfThemStays) {
  const Wrapped wrapped = rsa_3072().wrap(text("x"));
  ASSERT_TRUE(locked_heap::is_hooked());
  {
    const locked_heap::LockedScope scope(kRoom);
    const std::size_t before = locked_heap::used_bytes(kRoom);
    void* const memory = CRYPTO_malloc(100, __FILE__, __LINE__);
    EXPECT_EQ(locked_heap::used_bytes(kRoom), before + 128);
    CRYPTO_free(memory, __FILE__, __LINE__);
    EXPECT_EQ(locked_heap::used_bytes(kRoom), before);
  }
  const std::size_t before = locked_heap::used_bytes(kRoom);
  std::atomic<unsigned> right = 0;
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < 16; ++i)
      threads.emplace_back([&] {
        for (unsigned round = 0; round < 4; ++round)
          if (shown(rsa_3072().unwrap(wrapped, "it")) == "x" && rsa_3072().wrap(text("y")).bytes.size() == 384) ++right;
        EXPECT_EQ(rsa_3072().unwrap({"1", "RSA-OAEP-256", Buffer(384, 1)}, "it").error().code,
                  ErrorCode::unwrap_failed);
      });
  }
  EXPECT_EQ(right, 64U);
  EXPECT_EQ(locked_heap::used_bytes(kRoom), before);
}

TEST(LockedArenas, GiveBlocksThatDoNotOverlapAndAreWipedWhenGivenBack) {
  start_crypto();
  LockedArena arena(16384);
  std::vector<std::pair<std::uint8_t*, std::size_t>> blocks;
  for (std::size_t size = 1; size < 2000; size = size * 2 + 1) {
    auto* const block = static_cast<std::uint8_t*>(arena.take(size));
    ASSERT_NE(block, nullptr) << size;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 64, 0U);
    EXPECT_GE(arena.room_of(block), size);
    std::memset(block, static_cast<int>(blocks.size() + 1), size);
    blocks.emplace_back(block, size);
  }
  for (std::size_t i = 0; i < blocks.size(); ++i)
    for (std::size_t at = 0; at < blocks[i].second; ++at) ASSERT_EQ(blocks[i].first[at], i + 1);
  std::uint8_t* const first = blocks[3].first;
  const std::size_t used = arena.used_bytes();
  arena.give_back(first);
  EXPECT_LT(arena.used_bytes(), used);
  EXPECT_TRUE(is_all_zero({first, blocks[3].second}));
  EXPECT_EQ(arena.take(blocks[3].second), first);  // the room is found again
  EXPECT_EQ(arena.take(16384), nullptr);
  EXPECT_EQ(arena.take(~std::size_t{0}), nullptr);
  for (const auto& [block, size] : blocks) arena.give_back(block);
  EXPECT_EQ(arena.used_bytes(), 0U);
  void* const all = arena.take(16384);
  EXPECT_NE(all, nullptr);
  EXPECT_EQ(arena.take(1), nullptr);
  arena.give_back(all);
}

}  // namespace
}  // namespace cairn
