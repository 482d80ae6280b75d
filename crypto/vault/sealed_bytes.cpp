// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/sealed_bytes.h"

#include <sodium.h>

#include "config/base/result.h"

namespace cairn {
namespace {
constexpr std::size_t kNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kTagBytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
static_assert(kNonceBytes + kTagBytes == kSealedBytesOverhead);
}  // namespace

Buffer seal_bytes(const SecretBytes& key, ByteView plain, ByteView context) {
  CAIRN_ASSERT(key.size() == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
  Buffer sealed(kSealedBytesOverhead + plain.size());
  randombytes_buf(sealed.data(), kNonceBytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt(sealed.data() + kNonceBytes, nullptr, plain.data(), plain.size(),
                                             context.data(), context.size(), nullptr, sealed.data(),
                                             key.reveal().data());
  return sealed;
}

bool open_bytes(const SecretBytes& key, ByteView sealed, ByteView context, MutableBytes to) {
  CAIRN_ASSERT(key.size() == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
  CAIRN_ASSERT(sealed.size() >= kSealedBytesOverhead && to.size() == sealed.size() - kSealedBytesOverhead);
  // libsodium authenticates first and zeroes `to` when that fails.
  return crypto_aead_xchacha20poly1305_ietf_decrypt(to.data(), nullptr, nullptr, sealed.data() + kNonceBytes,
                                                    sealed.size() - kNonceBytes, context.data(), context.size(),
                                                    sealed.data(), key.reveal().data()) == 0;
}

}  // namespace cairn
