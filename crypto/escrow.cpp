// SPDX-License-Identifier: GPL-3.0-or-later
// Escrow: a random key seals the secret (XChaCha20-Poly1305, header and context authenticated), and a sealed box of
// that key lies there for each owner.
#include "crypto/escrow.h"

#include <sodium.h>

#include <algorithm>

namespace cairn {
namespace {

constexpr std::string_view kMagic = "CAIRNES1";
constexpr std::size_t kPublicBytes = crypto_box_PUBLICKEYBYTES;
constexpr std::size_t kEscrowKeyBytes = crypto_aead_xchacha20poly1305_ietf_KEYBYTES;
constexpr std::size_t kBoxBytes = kEscrowKeyBytes + crypto_box_SEALBYTES;
constexpr std::size_t kEscrowNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kTagBytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t kHeadBytes = kMagic.size() + 4;
constexpr std::size_t kMostOwners = 1024;
static_assert(kPublicBytes == 32 && kBoxBytes == 80 && kEscrowNonceBytes == 24 && kTagBytes == 16);

// What is authenticated with the secret: everything before the nonce, and the context.
Buffer covered(ByteView head, std::string_view context) {
  Buffer bytes(head.begin(), head.end());
  append(bytes, as_bytes(context));
  return bytes;
}

}  // namespace

EscrowKeys escrow_keys_of(const SecretBytes& x25519_secret) {
  CAIRN_ASSERT(x25519_secret.size() == crypto_box_SECRETKEYBYTES);
  EscrowKeys keys{SecretBytes::copy_of(x25519_secret.reveal()), EscrowOwner(kPublicBytes)};
  crypto_scalarmult_base(keys.public_half.data(), x25519_secret.reveal().data());
  return keys;
}

Buffer seal_escrow(const SecretBytes& secret, std::span<const EscrowOwner> owners, std::string_view context) {
  CAIRN_ASSERT(!owners.empty() && owners.size() <= kMostOwners);
  const SecretBytes key = SecretBytes::random(kEscrowKeyBytes);
  Buffer bytes;
  append(bytes, as_bytes(kMagic));
  append_le(bytes, static_cast<std::uint32_t>(owners.size()));
  for (const EscrowOwner& owner : owners) {
    CAIRN_ASSERT(owner.size() == kPublicBytes);
    append(bytes, owner);
    const std::size_t at = bytes.size();
    bytes.resize(at + kBoxBytes);
    CAIRN_ASSERT(crypto_box_seal(bytes.data() + at, key.reveal().data(), key.size(), owner.data()) == 0);
  }
  const Buffer with = covered(bytes, context);
  const std::size_t nonce_at = bytes.size();
  bytes.resize(nonce_at + kEscrowNonceBytes + secret.size() + kTagBytes);
  randombytes_buf(bytes.data() + nonce_at, kEscrowNonceBytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt(bytes.data() + nonce_at + kEscrowNonceBytes, nullptr,
                                             secret.reveal().data(), secret.size(), with.data(), with.size(), nullptr,
                                             bytes.data() + nonce_at, key.reveal().data());
  return bytes;
}

Result<SecretBytes> open_escrow(ByteView sealed, const EscrowKeys& keys, std::string_view context,
                                const std::string& object) {
  const auto damaged = [&](std::string because) {
    return fail(ErrorCode::escrow_damaged, "open escrow of", object, std::move(because));
  };
  if (sealed.size() < kHeadBytes || as_text(sealed.first(kMagic.size())) != kMagic)
    return damaged("it does not start as an escrow does");
  const auto owners = get_le<std::uint32_t>(sealed.subspan(kMagic.size()));
  if (owners == 0 || owners > kMostOwners) return damaged("its number of owners is impossible");
  const std::size_t nonce_at = kHeadBytes + owners * (kPublicBytes + kBoxBytes);
  if (sealed.size() < nonce_at + kEscrowNonceBytes + kTagBytes) return damaged("it is cut off");

  SecretBytes key(kEscrowKeyBytes);
  bool opened = false;
  for (std::size_t i = 0; i < owners && !opened; ++i) {
    const ByteView owner = sealed.subspan(kHeadBytes + i * (kPublicBytes + kBoxBytes));
    if (!std::ranges::equal(owner.first(kPublicBytes), keys.public_half)) continue;
    opened = crypto_box_seal_open(key.reveal().data(), owner.data() + kPublicBytes, kBoxBytes, keys.public_half.data(),
                                  keys.secret.reveal().data()) == 0;
  }
  if (!opened) return damaged("it is sealed for other owners");
  const Buffer with = covered(sealed.first(nonce_at), context);
  const ByteView body = sealed.subspan(nonce_at + kEscrowNonceBytes);
  SecretBytes secret(body.size() - kTagBytes);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(secret.reveal().data(), nullptr, nullptr, body.data(), body.size(),
                                                 with.data(), with.size(), sealed.data() + nonce_at,
                                                 key.reveal().data()) != 0)
    return damaged("it was altered, or belongs to something else");
  return secret;
}

}  // namespace cairn
