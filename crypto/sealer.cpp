// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/sealer.h"

#include <sodium.h>

#include <array>

namespace cairn {
namespace {

static_assert(crypto_aead_aes256gcm_KEYBYTES == kSealKeyBytes);
static_assert(crypto_aead_aes256gcm_ABYTES == kSealTagBytes);
static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES == kSealKeyBytes);
static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES == kSealTagBytes);
// sodium_malloc aligns to 16 bytes exactly when the size is a multiple of 16.
static_assert(sizeof(crypto_aead_aes256gcm_state) % 16 == 0);

// The record's number, little-endian, then zeros: 12 bytes for GCM, 24 for XChaCha20.
using Nonce = std::array<std::uint8_t, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES>;
Nonce nonce_of(std::uint32_t number) {
  Nonce nonce{};
  put_le(MutableBytes(nonce), number);
  return nonce;
}

// AES: the expanded key; XChaCha20: the key.
SecretBytes prepare(SealAlgorithm algorithm, SecretBytes key) {
  CAIRN_ASSERT(key.size() == kSealKeyBytes);
  CAIRN_ASSERT(is_available(algorithm));
  if (algorithm == SealAlgorithm::xchacha20_poly1305) return key;
  SecretBytes expanded(sizeof(crypto_aead_aes256gcm_state));
  crypto_aead_aes256gcm_beforenm(reinterpret_cast<crypto_aead_aes256gcm_state*>(expanded.reveal().data()),
                                 key.reveal().data());
  return expanded;
}

const crypto_aead_aes256gcm_state* aes_state(const SecretBytes& key) {
  return reinterpret_cast<const crypto_aead_aes256gcm_state*>(key.reveal().data());
}

}  // namespace

SealAlgorithm best_seal_algorithm() {
  return crypto_aead_aes256gcm_is_available() != 0 ? SealAlgorithm::aes256_gcm : SealAlgorithm::xchacha20_poly1305;
}

bool is_available(SealAlgorithm algorithm) {
  return algorithm != SealAlgorithm::aes256_gcm || crypto_aead_aes256gcm_is_available() != 0;
}

std::string_view to_string(SealAlgorithm algorithm) {
  return algorithm == SealAlgorithm::aes256_gcm ? "aes-256-gcm" : "xchacha20-poly1305";
}

std::optional<SealAlgorithm> parse_seal_algorithm(std::string_view text) {
  for (const SealAlgorithm algorithm : {SealAlgorithm::aes256_gcm, SealAlgorithm::xchacha20_poly1305})
    if (text == to_string(algorithm)) return algorithm;
  return std::nullopt;
}

Sealer::Sealer(SealAlgorithm algorithm, SecretBytes key)
    : algorithm_(algorithm), key_(prepare(algorithm, std::move(key))) {}

std::uint32_t Sealer::seal(ByteView plain, ByteView context, Buffer& to) {
  const std::uint32_t number = next_;
  CAIRN_ASSERT(number != UINT32_MAX);
  ++next_;
  const Nonce nonce = nonce_of(number);
  const std::size_t at = to.size();
  to.resize(at + plain.size() + kSealTagBytes);
  if (algorithm_ == SealAlgorithm::aes256_gcm)
    crypto_aead_aes256gcm_encrypt_afternm(to.data() + at, nullptr, plain.data(), plain.size(), context.data(),
                                          context.size(), nullptr, nonce.data(), aes_state(key_));
  else
    crypto_aead_xchacha20poly1305_ietf_encrypt(to.data() + at, nullptr, plain.data(), plain.size(), context.data(),
                                               context.size(), nullptr, nonce.data(), key_.reveal().data());
  return number;
}

Opener::Opener(SealAlgorithm algorithm, SecretBytes key)
    : algorithm_(algorithm), key_(prepare(algorithm, std::move(key))) {}

bool Opener::open(std::uint32_t number, ByteView sealed, ByteView context, MutableBytes to) const {
  if (sealed.size() < kSealTagBytes) return false;
  CAIRN_ASSERT(to.size() >= sealed.size() - kSealTagBytes);
  const Nonce nonce = nonce_of(number);
  const int outcome =
      algorithm_ == SealAlgorithm::aes256_gcm
          ? crypto_aead_aes256gcm_decrypt_afternm(to.data(), nullptr, nullptr, sealed.data(), sealed.size(),
                                                  context.data(), context.size(), nonce.data(), aes_state(key_))
          : crypto_aead_xchacha20poly1305_ietf_decrypt(to.data(), nullptr, nullptr, sealed.data(), sealed.size(),
                                                       context.data(), context.size(), nonce.data(),
                                                       key_.reveal().data());
  return outcome == 0;
}

}  // namespace cairn
