// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/sealer.h"

#include <sodium.h>

#include <algorithm>
#include <array>

#include "crypto/aes_gcm.h"

namespace cairn {
namespace {

static_assert(crypto_aead_aes256gcm_KEYBYTES == kSealKeyBytes);
static_assert(crypto_aead_aes256gcm_ABYTES == kSealTagBytes);
static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES == kSealKeyBytes);
static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES == kSealTagBytes);

constexpr std::size_t kAesNonceBytes = crypto_aead_aes256gcm_NPUBBYTES;

// The record's number and the section's, little-endian, then zeros: 12 bytes for GCM, 24 for XChaCha20.
using Nonce = std::array<std::uint8_t, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES>;
Nonce nonce_of(std::uint32_t number, std::uint32_t section = 0) {
  Nonce nonce{};
  put_le(MutableBytes(nonce), number);
  put_le(MutableBytes(nonce).subspan(4), section);
  return nonce;
}

void seal_xchacha(const SecretBytes& key, const Nonce& nonce, ByteView plain, ByteView context, MutableBytes to) {
  crypto_aead_xchacha20poly1305_ietf_encrypt(to.data(), nullptr, plain.data(), plain.size(), context.data(),
                                             context.size(), nullptr, nonce.data(), key.reveal().data());
}
bool open_xchacha(const SecretBytes& key, const Nonce& nonce, ByteView sealed, ByteView context, MutableBytes to) {
  return crypto_aead_xchacha20poly1305_ietf_decrypt(to.data(), nullptr, nullptr, sealed.data(), sealed.size(),
                                                    context.data(), context.size(), nonce.data(),
                                                    key.reveal().data()) == 0;
}

// What AES is given at once, so that its key is set up once for so many sections.
constexpr std::size_t kBatch = 16;
struct Batch {
  std::array<Nonce, kBatch> nonces;
  std::array<aes_gcm::Message, kBatch> messages;
  std::size_t size = 0;

  void add(const Nonce& nonce, ByteView from, MutableBytes to) {
    nonces[size] = nonce;
    messages[size] = {ByteView(nonces[size]).first(kAesNonceBytes), from, to};
    ++size;
  }
  [[nodiscard]] std::span<const aes_gcm::Message> view() const { return std::span(messages).first(size); }
};

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

std::uint32_t Sealer::take_number() {
  CAIRN_ASSERT(next_ != UINT32_MAX);
  return next_++;
}

std::uint32_t Sealer::seal(ByteView plain, ByteView context, MutableBytes to) {
  CAIRN_ASSERT(to.size() == plain.size() + kSealTagBytes);
  const std::uint32_t number = take_number();
  const Nonce nonce = nonce_of(number);
  if (algorithm_ == SealAlgorithm::aes256_gcm)
    aes_gcm::seal(key_.reveal(), ByteView(nonce).first(kAesNonceBytes), plain, context, to);
  else
    seal_xchacha(key_, nonce, plain, context, to);
  return number;
}

std::uint32_t Sealer::seal_sections(ByteView plain, ByteView context, MutableBytes to) {
  CAIRN_ASSERT(to.size() == sealed_in_sections(plain.size()));
  const std::uint32_t number = take_number();
  for (std::uint32_t section = 0; !plain.empty();) {
    Batch batch;
    for (; !plain.empty() && batch.size < kBatch; ++section) {
      const ByteView from = plain.first(std::min(plain.size(), kSectionBytes));
      const MutableBytes room = to.first(from.size() + kSealTagBytes);
      plain = plain.subspan(from.size());
      to = to.subspan(room.size());
      if (algorithm_ == SealAlgorithm::aes256_gcm)
        batch.add(nonce_of(number, section), from, room);
      else
        seal_xchacha(key_, nonce_of(number, section), from, context, room);
    }
    if (batch.size != 0) aes_gcm::seal(key_.reveal(), context, batch.view());
  }
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
  return open_xchacha(key_, nonce, sealed, context, to);
}

bool Opener::open_sections(std::uint32_t number, std::uint32_t first, ByteView sealed, ByteView context,
                           MutableBytes to) const {
  for (std::uint32_t section = first; !sealed.empty();) {
    Batch batch;
    for (; !sealed.empty() && batch.size < kBatch; ++section) {
      const ByteView from = sealed.first(std::min(sealed.size(), kSealedSectionBytes));
      if (from.size() <= kSealTagBytes) return false;
      const MutableBytes room = to.first(from.size() - kSealTagBytes);
      sealed = sealed.subspan(from.size());
      to = to.subspan(room.size());
      if (algorithm_ == SealAlgorithm::aes256_gcm)
        batch.add(nonce_of(number, section), from, room);
      else if (!open_xchacha(key_, nonce_of(number, section), from, context, room))
        return false;
    }
    if (batch.size != 0 && !aes_gcm::open(key_.reveal(), context, batch.view())) return false;
  }
  return true;
}

}  // namespace cairn
