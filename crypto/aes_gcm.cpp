// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/aes_gcm.h"

#include <openssl/evp.h>
#include <sodium.h>

#include <memory>

#include "config/base/result.h"
#include "crypto/locked_heap.h"

namespace cairn::aes_gcm {
namespace {

constexpr std::size_t kAesKeyBytes = 32;
constexpr std::size_t kGcmNonceBytes = 12;
constexpr int kTagBytes = 16;

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

// The cipher with everything that libcrypto loads on first use, which is no secret and may lie anywhere. Kept for ever.
const EVP_CIPHER* cipher() {
  static const EVP_CIPHER* const fetched = [] {
    EVP_CIPHER* found = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
    if (found == nullptr || EVP_CIPHER_get_iv_length(found) != kGcmNonceBytes) return static_cast<EVP_CIPHER*>(nullptr);
    const Context trial(EVP_CIPHER_CTX_new());
    const std::uint8_t zeros[kAesKeyBytes] = {};
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

// `key`: empty when the context has it already.
bool run(EVP_CIPHER_CTX* context, int encrypt, ByteView key, ByteView nonce, ByteView context_bytes, ByteView from,
         std::uint8_t* to) {
  int length = 0;
  const std::uint8_t* const new_key = key.empty() ? nullptr : key.data();
  if (EVP_CipherInit_ex2(context, nullptr, new_key, nonce.data(), encrypt, nullptr) != 1) return false;
  if (!context_bytes.empty() &&
      EVP_CipherUpdate(context, nullptr, &length, context_bytes.data(), static_cast<int>(context_bytes.size())) != 1)
    return false;
  return from.empty() || EVP_CipherUpdate(context, to, &length, from.data(), static_cast<int>(from.size())) == 1;
}

bool seal_with(EVP_CIPHER_CTX* context, ByteView key, const Message& message, ByteView context_bytes) {
  int length = 0;
  std::uint8_t* const tag = message.to.data() + message.from.size();
  return run(context, 1, key, message.nonce, context_bytes, message.from, message.to.data()) &&
         EVP_CipherFinal_ex(context, tag, &length) == 1 &&
         EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag) == 1;
}

bool open_with(EVP_CIPHER_CTX* context, ByteView key, const Message& message, ByteView context_bytes) {
  int length = 0;
  const ByteView body = message.from.first(message.from.size() - kTagBytes);
  // libcrypto takes the tag through a pointer to bytes that it only reads.
  auto* const tag = const_cast<std::uint8_t*>(message.from.data() + body.size());
  if (!run(context, 0, key, message.nonce, context_bytes, body, message.to.data())) return false;
  return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag) == 1 &&
         EVP_CipherFinal_ex(context, message.to.data() + body.size(), &length) == 1;
}

void check(ByteView key, const Message& message) {
  CAIRN_ASSERT(key.size() == kAesKeyBytes && message.nonce.size() == kGcmNonceBytes);
}

void sodium_seal(ByteView key, ByteView nonce, ByteView plain, ByteView context, MutableBytes to) {
  crypto_aead_aes256gcm_encrypt(to.data(), nullptr, plain.data(), plain.size(), context.data(), context.size(), nullptr,
                                nonce.data(), key.data());
}

}  // namespace

Library library() {
  return context_of_this_thread() != nullptr ? Library::libcrypto : Library::libsodium;
}

namespace {

bool seal_all(EVP_CIPHER_CTX* own, ByteView key, ByteView context, std::span<const Message> messages) {
  for (std::size_t i = 0; i < messages.size(); ++i)
    if (!seal_with(own, i == 0 ? key : ByteView(), messages[i], context)) return false;
  return true;
}

// How many of them were opened, from the first on.
std::size_t open_all(EVP_CIPHER_CTX* own, ByteView key, ByteView context, std::span<const Message> messages) {
  std::size_t done = 0;
  for (; done < messages.size(); ++done) {
    const Message& message = messages[done];
    if (own != nullptr) {
      if (!open_with(own, done == 0 ? key : ByteView(), message, context)) break;
    } else if (crypto_aead_aes256gcm_decrypt(message.to.data(), nullptr, nullptr, message.from.data(),
                                             message.from.size(), context.data(), context.size(), message.nonce.data(),
                                             key.data()) != 0) {
      break;
    }
  }
  return done;
}

}  // namespace

bool seal_by(Library library, ByteView key, ByteView nonce, ByteView plain, ByteView context, MutableBytes to) {
  const Message message{nonce, plain, to};
  check(key, message);
  CAIRN_ASSERT(to.size() == plain.size() + kTagBytes);
  if (library == Library::libsodium) {
    sodium_seal(key, nonce, plain, context, to);
    return true;
  }
  EVP_CIPHER_CTX* const own = context_of_this_thread();
  return own != nullptr && seal_with(own, key, message, context);
}

void seal(ByteView key, ByteView context, std::span<const Message> messages) {
  for (const Message& message : messages) {
    check(key, message);
    CAIRN_ASSERT(message.to.size() == message.from.size() + kTagBytes);
  }
  EVP_CIPHER_CTX* const own = context_of_this_thread();
  if (own != nullptr && seal_all(own, key, context, messages)) return;
  for (const Message& message : messages) sodium_seal(key, message.nonce, message.from, context, message.to);
}

bool open(ByteView key, ByteView context, std::span<const Message> messages) {
  for (const Message& message : messages) {
    check(key, message);
    CAIRN_ASSERT(message.from.size() >= kTagBytes && message.to.size() >= message.from.size() - kTagBytes);
  }
  const std::size_t done = open_all(context_of_this_thread(), key, context, messages);
  // libcrypto deciphers while it authenticates: nobody must see what does not authenticate.
  for (const Message& message : messages.subspan(done))
    if (!message.to.empty()) std::memset(message.to.data(), 0, message.from.size() - kTagBytes);
  return done == messages.size();
}

void seal(ByteView key, ByteView nonce, ByteView plain, ByteView context, MutableBytes to) {
  const Message message{nonce, plain, to};
  seal(key, context, {&message, 1});
}

bool open(ByteView key, ByteView nonce, ByteView sealed, ByteView context, MutableBytes to) {
  const Message message{nonce, sealed, to};
  return open(key, context, {&message, 1});
}

std::size_t locked_bytes() {
  return locked_heap::used_bytes();
}

}  // namespace cairn::aes_gcm
