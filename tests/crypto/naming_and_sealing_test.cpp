// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>
#include <sodium.h>

#include <atomic>
#include <barrier>
#include <thread>
#include <vector>

#include "crypto/aes_gcm.h"
#include "crypto/chunk_name.h"
#include "crypto/key_ring.h"
#include "crypto/sealer.h"

namespace cairn {
namespace {

class Crypto : public testing::Test {
 protected:
  void SetUp() override { start_crypto(); }
};
using ChunkNames = Crypto;
using Sealing = Crypto;
using Secrets = Crypto;

// The pattern 0, 1, ... 250, 0, ... and the key of BLAKE3's test_vectors/test_vectors.json.
Buffer vector_input(std::size_t size) {
  Buffer bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i % 251);
  return bytes;
}
constexpr std::string_view kVectorKey = "whats the Elvish word for friend";

TEST_F(ChunkNames, AreKeyedBlake3AsPublished) {
  const ChunkNamer namer(SecretBytes::copy_of(as_bytes(kVectorKey)), SecretBytes::random(32));
  EXPECT_EQ(namer.name(RecordKind::chunk, vector_input(0)).hex(),
            "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26");
  EXPECT_EQ(namer.name(RecordKind::chunk, vector_input(1)).hex(),
            "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b");
}

TEST_F(ChunkNames, PackHashesAreBlake3AsPublished) {
  EXPECT_EQ(Blake3::hex_of(vector_input(0)), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
  EXPECT_EQ(Blake3::hex_of(vector_input(1)), "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213");
  Blake3 pieces;
  const Buffer input = vector_input(100'000);
  for (std::size_t at = 0; at < input.size(); at += 777)
    pieces.update(ByteView(input).subspan(at, std::min<std::size_t>(777, input.size() - at)));
  EXPECT_EQ(to_hex(pieces.finish()), Blake3::hex_of(input));
}

TEST_F(ChunkNames, OfChunksAndNodesDiffer) {
  const KeyRing keys(SecretBytes::random(32));
  const Buffer bytes = vector_input(1000);
  EXPECT_NE(keys.namer().name(RecordKind::chunk, bytes), keys.namer().name(RecordKind::node, bytes));
}

TEST_F(ChunkNames, OfTwoStoresDiffer) {
  const Buffer bytes = vector_input(1000);
  EXPECT_NE(KeyRing(SecretBytes::random(32)).namer().name(RecordKind::chunk, bytes),
            KeyRing(SecretBytes::random(32)).namer().name(RecordKind::chunk, bytes));
}

TEST_F(ChunkNames, ReadTheirOwnHexAndNothingElse) {
  const auto name = ChunkName::parse(std::string(63, 'a') + "b");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->hex(), std::string(63, 'a') + "b");
  for (const std::string& wrong : {std::string(), std::string(62, 'a'), std::string(66, 'a'), std::string(64, 'g')})
    EXPECT_FALSE(ChunkName::parse(wrong)) << wrong;
}

// McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13 and 14: key and IV zero.
TEST_F(Sealing, AesIsGcmAsPublished) {
  if (!is_available(SealAlgorithm::aes256_gcm)) GTEST_SKIP() << "this CPU has no AES instructions";
  Buffer sealed;
  EXPECT_EQ(Sealer(SealAlgorithm::aes256_gcm, SecretBytes(32)).seal_onto({}, {}, sealed), 0U);
  EXPECT_EQ(to_hex(sealed), "530f8afbc74536b9a963b4f1c4cb738b");
  sealed.clear();
  Sealer(SealAlgorithm::aes256_gcm, SecretBytes(32)).seal_onto(Buffer(16), {}, sealed);
  EXPECT_EQ(to_hex(sealed), "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
}

TEST_F(Sealing, AesIsTheSameByBothLibraries) {
  if (!is_available(SealAlgorithm::aes256_gcm)) GTEST_SKIP() << "this CPU has no AES instructions";
  ASSERT_EQ(aes_gcm::library(), aes_gcm::Library::libcrypto) << "its allocations could not be locked";
  const Buffer key = vector_input(32);
  for (const std::size_t size : {0, 1, 15, 16, 17, 4095, 65536, 1'000'003}) {
    const Buffer plain = vector_input(size);
    for (const std::size_t context_size : {0, 13, 48}) {
      SCOPED_TRACE(testing::Message() << size << " bytes, context of " << context_size);
      const Buffer context = vector_input(context_size);
      const Buffer nonce = vector_input(12);
      Buffer by_libcrypto(size + kSealTagBytes), by_libsodium(size + kSealTagBytes), opened(size);
      ASSERT_TRUE(aes_gcm::seal_by(aes_gcm::Library::libcrypto, key, nonce, plain, context, by_libcrypto));
      ASSERT_TRUE(aes_gcm::seal_by(aes_gcm::Library::libsodium, key, nonce, plain, context, by_libsodium));
      EXPECT_TRUE(by_libcrypto == by_libsodium);
      ASSERT_TRUE(aes_gcm::open(key, nonce, by_libsodium, context, opened));
      EXPECT_TRUE(opened == plain);
    }
  }
}

TEST_F(Sealing, AesShowsNothingOfWhatDoesNotAuthenticate) {
  if (!is_available(SealAlgorithm::aes256_gcm)) GTEST_SKIP() << "this CPU has no AES instructions";
  const Buffer key = vector_input(32), nonce = vector_input(12), plain = vector_input(100'000);
  Buffer sealed(plain.size() + kSealTagBytes), opened(plain.size(), 1);
  aes_gcm::seal(key, nonce, plain, {}, sealed);
  sealed.back() ^= 1U;
  EXPECT_FALSE(aes_gcm::open(key, nonce, sealed, {}, opened));
  EXPECT_TRUE(is_all_zero(opened));
}

// A context takes two locked kilobytes a thread; when they are used up the others work without, and the bytes are the
// same. All are given back.
TEST_F(Sealing, AesKeepsItsKeySchedulesInLockedMemory) {
  if (!is_available(SealAlgorithm::aes256_gcm)) GTEST_SKIP() << "this CPU has no AES instructions";
  ASSERT_EQ(aes_gcm::library(), aes_gcm::Library::libcrypto);
  const std::size_t before = aes_gcm::locked_bytes();
  ASSERT_GE(before, 2048U);
  constexpr unsigned kThreads = 100;
  const Buffer key = vector_input(32), nonce = vector_input(12), plain = vector_input(5000);
  Buffer expected(plain.size() + kSealTagBytes);
  aes_gcm::seal(key, nonce, plain, {}, expected);
  std::atomic<unsigned> equal = 0, by_libcrypto = 0, by_libsodium = 0;
  std::barrier all_sealed(kThreads);
  std::size_t most = 0;
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < kThreads; ++i)
      threads.emplace_back([&, i] {
        Buffer sealed(expected.size());
        aes_gcm::seal(key, nonce, plain, {}, sealed);
        if (sealed == expected) ++equal;
        ++(aes_gcm::library() == aes_gcm::Library::libcrypto ? by_libcrypto : by_libsodium);
        all_sealed.arrive_and_wait();
        if (i == 0) most = aes_gcm::locked_bytes();
        all_sealed.arrive_and_wait();
      });
  }
  EXPECT_EQ(equal, kThreads);
  EXPECT_GT(by_libcrypto, 30U);
  EXPECT_GT(by_libsodium, 0U);
  EXPECT_GE(most, before + by_libcrypto * 2048);
  EXPECT_EQ(aes_gcm::locked_bytes(), before);
}

// Every section, and every row of them, opens alone, where it is and nowhere else.
TEST_F(Sealing, SectionsOpenAlone) {
  for (const SealAlgorithm algorithm : {SealAlgorithm::aes256_gcm, SealAlgorithm::xchacha20_poly1305}) {
    if (!is_available(algorithm)) continue;
    for (const std::size_t size : {1, 4095, 4096, 4097, 8192, 65536, 69632, 200'001}) {
      SCOPED_TRACE(testing::Message() << to_string(algorithm) << ", " << size << " bytes");
      const Buffer key = vector_input(32), plain = vector_input(size), context = vector_input(48);
      Sealer sealer(algorithm, SecretBytes::copy_of(key));
      const Opener opener(algorithm, SecretBytes::copy_of(key));
      Buffer ignored;
      sealer.seal_onto(plain, context, ignored);
      Buffer sealed(sealed_in_sections(size));
      ASSERT_EQ(sealer.seal_sections(plain, context, sealed), 1U);
      EXPECT_EQ(sealer.next_number(), 2U);
      Buffer opened(size);
      ASSERT_TRUE(opener.open_sections(1, 0, sealed, context, opened));
      EXPECT_TRUE(opened == plain);
      EXPECT_FALSE(opener.open_sections(0, 0, sealed, context, opened)) << "another record's number";
      EXPECT_FALSE(opener.open_sections(1, 0, sealed, vector_input(47), opened)) << "another context";
      const std::size_t sections = (size + kSectionBytes - 1) / kSectionBytes;
      for (std::size_t first = 0; first < sections; ++first) {
        const ByteView rest = ByteView(sealed).subspan(first * kSealedSectionBytes);
        for (const std::size_t count : {std::size_t{1}, sections - first}) {
          const ByteView some = rest.first(std::min(rest.size(), count * kSealedSectionBytes));
          const ByteView expected = ByteView(plain).subspan(first * kSectionBytes).first(some.size() - count * 16);
          ASSERT_TRUE(opener.open_sections(1, static_cast<std::uint32_t>(first), some, context, opened));
          ASSERT_TRUE(std::ranges::equal(ByteView(opened).first(expected.size()), expected)) << first;
          ASSERT_FALSE(opener.open_sections(1, static_cast<std::uint32_t>(first + 1), some, context, opened))
              << "moved within the record";
        }
      }
    }
  }
}

TEST_F(Sealing, AnAlteredSectionIsNotOpenedAndTheOthersAre) {
  for (const SealAlgorithm algorithm : {SealAlgorithm::aes256_gcm, SealAlgorithm::xchacha20_poly1305}) {
    if (!is_available(algorithm)) continue;
    const Buffer key = vector_input(32), plain = vector_input(70'000);
    const Opener opener(algorithm, SecretBytes::copy_of(key));
    Buffer sealed(sealed_in_sections(plain.size()));
    Sealer(algorithm, SecretBytes::copy_of(key)).seal_sections(plain, {}, sealed);
    Buffer opened(plain.size());
    for (std::size_t at = 0; at < sealed.size(); at += 501) {
      sealed[at] ^= 4U;
      EXPECT_FALSE(opener.open_sections(0, 0, sealed, {}, opened)) << at;
      for (std::uint32_t section = 0; section * kSealedSectionBytes < sealed.size(); ++section) {
        const ByteView rest = ByteView(sealed).subspan(section * kSealedSectionBytes);
        EXPECT_EQ(opener.open_sections(0, section, rest.first(std::min(rest.size(), kSealedSectionBytes)), {}, opened),
                  section != at / kSealedSectionBytes)
            << at << ", section " << section;
      }
      sealed[at] ^= 4U;
    }
    for (const std::size_t cut : {1, 15, 16, 17, 300})
      EXPECT_FALSE(opener.open_sections(0, 0, ByteView(sealed).first(sealed.size() - cut), {}, opened)) << cut;
  }
}

TEST_F(Sealing, TheFirstSectionIsSealedAsARecordOfItsOwn) {
  for (const SealAlgorithm algorithm : {SealAlgorithm::aes256_gcm, SealAlgorithm::xchacha20_poly1305}) {
    if (!is_available(algorithm)) continue;
    const Buffer key = vector_input(32), plain = vector_input(2 * kSectionBytes);
    Buffer sealed(sealed_in_sections(plain.size())), alone;
    Sealer(algorithm, SecretBytes::copy_of(key)).seal_sections(plain, {}, sealed);
    Sealer(algorithm, SecretBytes::copy_of(key)).seal_onto(ByteView(plain).first(kSectionBytes), {}, alone);
    EXPECT_TRUE(std::ranges::equal(ByteView(sealed).first(kSealedSectionBytes), alone));
  }
}

TEST_F(Sealing, XChaChaIsLibsodiumsWithTheRecordsNumberAsNonce) {
  const SecretBytes key = SecretBytes::random(32);
  Sealer sealer(SealAlgorithm::xchacha20_poly1305, SecretBytes::copy_of(key.reveal()));
  const Buffer plain = vector_input(100);
  Buffer sealed;
  for (int i = 0; i < 3; ++i) {
    sealed.clear();
    EXPECT_EQ(sealer.seal_onto(plain, as_bytes("context"), sealed), static_cast<std::uint32_t>(i));
  }
  Buffer nonce(24);
  nonce[0] = 2;
  Buffer opened(plain.size());
  EXPECT_EQ(
      crypto_aead_xchacha20poly1305_ietf_decrypt(opened.data(), nullptr, nullptr, sealed.data(), sealed.size(),
                                                 as_bytes("context").data(), 7, nonce.data(), key.reveal().data()),
      0);
  EXPECT_EQ(opened, plain);
}

TEST_F(Sealing, RefusesWhateverWasAltered) {
  for (const SealAlgorithm algorithm : {SealAlgorithm::aes256_gcm, SealAlgorithm::xchacha20_poly1305}) {
    if (!is_available(algorithm)) continue;
    const SecretBytes key = SecretBytes::random(32);
    const Buffer plain = vector_input(50);
    Buffer sealed;
    Sealer(algorithm, SecretBytes::copy_of(key.reveal())).seal_onto(plain, as_bytes("context"), sealed);
    const Opener opener(algorithm, SecretBytes::copy_of(key.reveal()));
    Buffer opened(plain.size());
    ASSERT_TRUE(opener.open(0, sealed, as_bytes("context"), opened));
    EXPECT_EQ(opened, plain);
    EXPECT_FALSE(opener.open(1, sealed, as_bytes("context"), opened));
    EXPECT_FALSE(opener.open(0, sealed, as_bytes("contexT"), opened));
    EXPECT_FALSE(opener.open(0, ByteView(sealed).first(10), as_bytes("context"), opened));
    EXPECT_FALSE(Opener(algorithm, SecretBytes::random(32)).open(0, sealed, as_bytes("context"), opened));
    for (std::size_t i = 0; i < sealed.size(); ++i) {
      sealed[i] ^= 1U;
      EXPECT_FALSE(opener.open(0, sealed, as_bytes("context"), opened)) << i;
      sealed[i] ^= 1U;
    }
  }
}

TEST_F(Sealing, EveryPackAndPointHasItsOwnKey) {
  const KeyRing keys(SecretBytes::random(32));
  const Buffer salt(32, 1);
  const Buffer other(32, 2);
  const auto equal = [](const SecretBytes& a, const SecretBytes& b) {
    return sodium_memcmp(a.reveal().data(), b.reveal().data(), 32) == 0;
  };
  EXPECT_TRUE(equal(keys.pack_key(salt), keys.pack_key(salt)));
  EXPECT_FALSE(equal(keys.pack_key(salt), keys.pack_key(other)));
  EXPECT_FALSE(equal(keys.pack_key(salt), keys.point_key(salt)));
}

TEST_F(Secrets, AreWipedWhenTheyMoveAway) {
  SecretBytes first = SecretBytes::copy_of(as_bytes("secret"));
  const SecretBytes second = std::move(first);
  EXPECT_EQ(as_text(second.reveal()), "secret");
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): that is the promise
}

TEST_F(Secrets, KeepOnlyWhatTheyShrinkTo) {
  SecretBytes secret = SecretBytes::copy_of(as_bytes("secret\n"));
  secret.shrink_to(6);
  EXPECT_EQ(as_text(std::as_const(secret).reveal()), "secret");
}

}  // namespace
}  // namespace cairn
