// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/sealer.h"

#include <sodium.h>

#include <array>

#include "crypto/aes_gcm.h"

namespace cairn {
namespace {

static_assert(crypto_aead_aes256gcm_KEYBYTES == kSealKeyBytes);
static_assert(crypto_aead_aes256gcm_ABYTES == kSealTagBytes);
static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES == kSealKeyBytes);
static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES == kSealTagBytes);

constexpr std::size_t kAesNonceBytes = crypto_aead_aes256gcm_NPUBBYTES;

// The record's number, little-endian, then zeros: 12 bytes for GCM, 24 for XChaCha20.
using Nonce = std::array<std::uint8_t, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES>;
Nonce nonce_of(std::uint32_t number) {
  Nonce nonce{};
  put_le(MutableBytes(nonce), number);
  return nonce;
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

Sealer::Sealer(SealAlgorithm algorithm, SecretBytes key) : algorithm_(algorithm), key_(std::move(key)) {
  CAIRN_ASSERT(key_.size() == kSealKeyBytes && is_available(algorithm));
}

std::uint32_t Sealer::seal(ByteView plain, ByteView context, MutableBytes to) {
  CAIRN_ASSERT(to.size() == plain.size() + kSealTagBytes);
  const std::uint32_t number = next_;
  CAIRN_ASSERT(number != UINT32_MAX);
  ++next_;
  const Nonce nonce = nonce_of(number);
  if (algorithm_ == SealAlgorithm::aes256_gcm)
    aes_gcm::seal(key_.reveal(), ByteView(nonce).first(kAesNonceBytes), plain, context, to);
  else
    crypto_aead_xchacha20poly1305_ietf_encrypt(to.data(), nullptr, plain.data(), plain.size(), context.data(),
                                               context.size(), nullptr, nonce.data(), key_.reveal().data());
  return number;
}

Opener::Opener(SealAlgorithm algorithm, SecretBytes key) : algorithm_(algorithm), key_(std::move(key)) {
  CAIRN_ASSERT(key_.size() == kSealKeyBytes && is_available(algorithm));
}

bool Opener::open(std::uint32_t number, ByteView sealed, ByteView context, MutableBytes to) const {
  if (sealed.size() < kSealTagBytes) return false;
  CAIRN_ASSERT(to.size() >= sealed.size() - kSealTagBytes);
  const Nonce nonce = nonce_of(number);
  if (algorithm_ == SealAlgorithm::aes256_gcm)
    return aes_gcm::open(key_.reveal(), ByteView(nonce).first(kAesNonceBytes), sealed, context, to);
  return crypto_aead_xchacha20poly1305_ietf_decrypt(to.data(), nullptr, nullptr, sealed.data(), sealed.size(),
                                                    context.data(), context.size(), nonce.data(),
                                                    key_.reveal().data()) == 0;
}

}  // namespace cairn
