// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/rsa_key.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sodium.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <mutex>

#include "config/base/result.h"
#include "crypto/locked_heap.h"

namespace cairn::rsa_key {
namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(PKCS8_PRIV_KEY_INFO* info) const { PKCS8_PRIV_KEY_INFO_free(info); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Context = std::unique_ptr<EVP_PKEY_CTX, Free>;
using KeyInfo = std::unique_ptr<PKCS8_PRIV_KEY_INFO, Free>;

Key make(unsigned bits) {
  const Context context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* made = nullptr;
  if (!context || EVP_PKEY_keygen_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), static_cast<int>(bits)) != 1 ||
      EVP_PKEY_generate(context.get(), &made) != 1)
    return nullptr;
  return Key(made);
}

// Empty when libcrypto fails.
SecretBytes encoded(EVP_PKEY* key) {
  const KeyInfo info(EVP_PKEY2PKCS8(key));
  const int size = info ? i2d_PKCS8_PRIV_KEY_INFO(info.get(), nullptr) : 0;
  if (size <= 0) return {};
  SecretBytes der(static_cast<std::size_t>(size));
  std::uint8_t* to = der.reveal().data();
  return i2d_PKCS8_PRIV_KEY_INFO(info.get(), &to) == size ? std::move(der) : SecretBytes();
}

Key decoded(const SecretBytes& pkcs8) {
  const std::uint8_t* from = pkcs8.reveal().data();
  Key key(d2i_PrivateKey_ex(EVP_PKEY_RSA, nullptr, &from, static_cast<long>(pkcs8.size()), nullptr, nullptr));
  return key && from == pkcs8.reveal().data() + pkcs8.size() ? std::move(key) : nullptr;
}

// From big-endian numbers. Nothing when they are no public key.
Key decoded_public(ByteView modulus, ByteView exponent) {
  // OSSL_PARAM wants them in the host's order.
  Buffer n(modulus.rbegin(), modulus.rend());
  Buffer e(exponent.rbegin(), exponent.rend());
  if constexpr (std::endian::native == std::endian::big) {
    std::ranges::reverse(n);
    std::ranges::reverse(e);
  }
  OSSL_PARAM numbers[] = {OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_N, n.data(), n.size()),
                          OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_E, e.data(), e.size()),
                          OSSL_PARAM_construct_end()};
  const Context context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* made = nullptr;
  if (!context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, numbers) != 1)
    return nullptr;
  return Key(made);
}

bool use_oaep(EVP_PKEY_CTX* context, Hash hash) {
  const char* const name = hash == Hash::sha256 ? "SHA2-256" : "SHA1";
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_oaep_md_name(context, name, nullptr) == 1 &&
         EVP_PKEY_CTX_set_rsa_mgf1_md_name(context, name, nullptr) == 1;
}

// Empty when libcrypto fails.
Buffer encrypted(EVP_PKEY* key, Hash hash, ByteView plain) {
  const Context context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  Buffer sealed(static_cast<std::size_t>(EVP_PKEY_get_size(key)));
  std::size_t size = sealed.size();
  if (!context || EVP_PKEY_encrypt_init(context.get()) != 1 || !use_oaep(context.get(), hash) ||
      EVP_PKEY_encrypt(context.get(), sealed.data(), &size, plain.data(), plain.size()) != 1 || size != sealed.size())
    return {};
  return sealed;
}

std::optional<SecretBytes> decrypted(EVP_PKEY* key, ByteView sealed) {
  const Context context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  SecretBytes plain(static_cast<std::size_t>(EVP_PKEY_get_size(key)));
  std::size_t size = plain.size();
  if (!context || EVP_PKEY_decrypt_init(context.get()) != 1 || !use_oaep(context.get(), Hash::sha256) ||
      EVP_PKEY_decrypt(context.get(), plain.reveal().data(), &size, sealed.data(), sealed.size()) != 1)
    return std::nullopt;
  plain.shrink_to(size);
  return plain;
}

// Has libcrypto load what it loads on first use and keeps, which is no secret, outside of the locked heap: once for the
// process (everything that is done below, with a key that is worthless), and once for each thread.
void warm_up() {
  static const bool warm = [] {
    const Key key = make(1024);
    const std::uint8_t plain[1] = {};
    return key && decoded(encoded(key.get())) && decrypted(key.get(), encrypted(key.get(), Hash::sha256, plain)) &&
           !encrypted(key.get(), Hash::sha1, plain).empty();
  }();
  CAIRN_ASSERT(warm);
  thread_local const bool thread_is_warm = [] {
    std::uint8_t byte = 0;
    ERR_clear_error();
    return RAND_bytes(&byte, 1) == 1 && RAND_priv_bytes(&byte, 1) == 1;
  }();
  CAIRN_ASSERT(thread_is_warm);
}

// While it lives this thread alone uses the locked heap's room for private keys.
class Work {
 public:
  Work() : lock_((warm_up(), mutex())), scope_(locked_heap::Room::private_keys) {
    CAIRN_ASSERT(locked_heap::is_hooked());
  }
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;
  ~Work() { ERR_clear_error(); }

 private:
  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }
  std::lock_guard<std::mutex> lock_;
  locked_heap::LockedScope scope_;
};

}  // namespace

SecretBytes generate(unsigned bits) {
  const Work work;
  const Key key = make(bits);
  CAIRN_ASSERT(key != nullptr);
  SecretBytes der = encoded(key.get());
  CAIRN_ASSERT(!der.empty());
  return der;
}

bool is_private_key(const SecretBytes& pkcs8, unsigned bits) {
  const Work work;
  const Key key = decoded(pkcs8);
  if (!key || EVP_PKEY_get_bits(key.get()) != static_cast<int>(bits)) return false;
  const SecretBytes again = encoded(key.get());
  return again.size() == pkcs8.size() && sodium_memcmp(again.reveal().data(), pkcs8.reveal().data(), again.size()) == 0;
}

Buffer public_half(const SecretBytes& pkcs8) {
  const Work work;
  const Key key = decoded(pkcs8);
  const int size = key ? i2d_PUBKEY(key.get(), nullptr) : 0;
  CAIRN_ASSERT(size > 0);
  Buffer der(static_cast<std::size_t>(size));
  std::uint8_t* to = der.data();
  CAIRN_ASSERT(i2d_PUBKEY(key.get(), &to) == size);
  return der;
}

std::size_t most_plain_bytes(unsigned bits, Hash hash) {
  const std::size_t digest_bytes = hash == Hash::sha256 ? 32 : 20;
  const std::size_t modulus_bytes = (bits + 7) / 8;
  return modulus_bytes < 2 * digest_bytes + 2 ? 0 : modulus_bytes - 2 * digest_bytes - 2;
}

Buffer encrypt(const SecretBytes& pkcs8, ByteView plain) {
  const Work work;
  const Key key = decoded(pkcs8);
  CAIRN_ASSERT(key != nullptr);
  Buffer sealed = encrypted(key.get(), Hash::sha256, plain);
  CAIRN_ASSERT(!sealed.empty());
  return sealed;
}

std::optional<SecretBytes> decrypt(const SecretBytes& pkcs8, ByteView sealed) {
  const Work work;
  const Key key = decoded(pkcs8);
  CAIRN_ASSERT(key != nullptr);
  return decrypted(key.get(), sealed);
}

std::optional<Buffer> encrypt_for(ByteView modulus, ByteView exponent, Hash hash, ByteView plain) {
  const Work work;
  const Key key = decoded_public(modulus, exponent);
  Buffer sealed = key ? encrypted(key.get(), hash, plain) : Buffer();
  if (sealed.empty()) return std::nullopt;
  return sealed;
}

}  // namespace cairn::rsa_key
