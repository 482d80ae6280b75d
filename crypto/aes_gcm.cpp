// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/aes_gcm.h"

#include <openssl/evp.h>
#include <sodium.h>

#include <memory>

#include "config/base/result.h"
#include "crypto/locked_heap.h"

namespace cairn::aes_gcm {
namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kNonceBytes = 12;
constexpr int kTagBytes = 16;

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

// The cipher with everything that libcrypto loads on first use, which is no secret and may lie anywhere. Kept for ever.
const EVP_CIPHER* cipher() {
  static const EVP_CIPHER* const fetched = [] {
    EVP_CIPHER* found = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
    if (found == nullptr || EVP_CIPHER_get_iv_length(found) != kNonceBytes) return static_cast<EVP_CIPHER*>(nullptr);
    const Context trial(EVP_CIPHER_CTX_new());
    const std::uint8_t zeros[kKeyBytes] = {};
    if (!trial || EVP_EncryptInit_ex2(trial.get(), found, zeros, zeros, nullptr) != 1)
      return static_cast<EVP_CIPHER*>(nullptr);
    return found;
  }();
  return fetched;
}

// A context whose every part is locked; none when that cannot be had.
Context locked_context() {
  if (!locked_heap::is_hooked() || cipher() == nullptr) return nullptr;
  const locked_heap::LockedScope scope;
  Context context(EVP_CIPHER_CTX_new());
  if (!context || EVP_EncryptInit_ex2(context.get(), cipher(), nullptr, nullptr, nullptr) != 1) return nullptr;
  // The outer part and the cipher's own, at least: else the key schedule would lie elsewhere.
  return scope.served() >= 2 ? std::move(context) : nullptr;
}

EVP_CIPHER_CTX* context_of_this_thread() {
  thread_local const Context context = locked_context();
  return context.get();
}

bool run(EVP_CIPHER_CTX* context, int encrypt, ByteView key, ByteView nonce, ByteView context_bytes, ByteView from,
         std::uint8_t* to) {
  int length = 0;
  if (EVP_CipherInit_ex2(context, nullptr, key.data(), nonce.data(), encrypt, nullptr) != 1) return false;
  if (!context_bytes.empty() &&
      EVP_CipherUpdate(context, nullptr, &length, context_bytes.data(), static_cast<int>(context_bytes.size())) != 1)
    return false;
  return from.empty() || EVP_CipherUpdate(context, to, &length, from.data(), static_cast<int>(from.size())) == 1;
}

bool seal_with(EVP_CIPHER_CTX* context, ByteView key, ByteView nonce, ByteView plain, ByteView context_bytes,
               MutableBytes to) {
  int length = 0;
  return run(context, 1, key, nonce, context_bytes, plain, to.data()) &&
         EVP_CipherFinal_ex(context, to.data() + plain.size(), &length) == 1 &&
         EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTagBytes, to.data() + plain.size()) == 1;
}

bool open_with(EVP_CIPHER_CTX* context, ByteView key, ByteView nonce, ByteView sealed, ByteView context_bytes,
               MutableBytes to) {
  int length = 0;
  const ByteView body = sealed.first(sealed.size() - kTagBytes);
  // libcrypto takes the tag through a pointer to bytes that it only reads.
  auto* const tag = const_cast<std::uint8_t*>(sealed.data() + body.size());
  if (!run(context, 0, key, nonce, context_bytes, body, to.data())) return false;
  return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag) == 1 &&
         EVP_CipherFinal_ex(context, to.data() + body.size(), &length) == 1;
}

void sodium_seal(ByteView key, ByteView nonce, ByteView plain, ByteView context, MutableBytes to) {
  crypto_aead_aes256gcm_encrypt(to.data(), nullptr, plain.data(), plain.size(), context.data(), context.size(), nullptr,
                                nonce.data(), key.data());
}

}  // namespace

Library library() {
  return context_of_this_thread() != nullptr ? Library::libcrypto : Library::libsodium;
}

bool seal_by(Library library, ByteView key, ByteView nonce, ByteView plain, ByteView context, MutableBytes to) {
  CAIRN_ASSERT(key.size() == kKeyBytes && nonce.size() == kNonceBytes && to.size() == plain.size() + kTagBytes);
  if (library == Library::libsodium) {
    sodium_seal(key, nonce, plain, context, to);
    return true;
  }
  EVP_CIPHER_CTX* const own = context_of_this_thread();
  return own != nullptr && seal_with(own, key, nonce, plain, context, to);
}

void seal(ByteView key, ByteView nonce, ByteView plain, ByteView context, MutableBytes to) {
  if (!seal_by(library(), key, nonce, plain, context, to)) sodium_seal(key, nonce, plain, context, to);
}

bool open(ByteView key, ByteView nonce, ByteView sealed, ByteView context, MutableBytes to) {
  CAIRN_ASSERT(key.size() == kKeyBytes && nonce.size() == kNonceBytes && sealed.size() >= kTagBytes);
  CAIRN_ASSERT(to.size() >= sealed.size() - kTagBytes);
  bool good = false;
  if (EVP_CIPHER_CTX* const own = context_of_this_thread(); own != nullptr)
    good = open_with(own, key, nonce, sealed, context, to);
  else
    good = crypto_aead_aes256gcm_decrypt(to.data(), nullptr, nullptr, sealed.data(), sealed.size(), context.data(),
                                         context.size(), nonce.data(), key.data()) == 0;
  // libcrypto deciphers while it authenticates: nobody must see what does not authenticate.
  if (!good && !to.empty()) std::memset(to.data(), 0, sealed.size() - kTagBytes);
  return good;
}

std::size_t locked_bytes() {
  return locked_heap::used_bytes();
}

}  // namespace cairn::aes_gcm
