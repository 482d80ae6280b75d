// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/kek_backup.h"

#include <sodium.h>

#include "crypto/vault/rsa_key.h"
#include "crypto/vault/sealed_bytes.h"

namespace cairn {
namespace {

constexpr std::string_view kSealedBox = "X25519-sealed-box";
constexpr std::string_view kOaep = "RSA-OAEP-256";
constexpr std::string_view kHybrid = "RSA-OAEP-256+XChaCha20-Poly1305";
constexpr std::size_t kX25519Bytes = crypto_box_SECRETKEYBYTES;
constexpr std::size_t kDataKeyBytes = 32;
static_assert(crypto_box_SECRETKEYBYTES == 32 && crypto_box_PUBLICKEYBYTES == 32);

// The first byte of encode(). Stored in recovery points and vaults: never renumber.
enum class KekTag : std::uint8_t { x25519 = 1, rsa_3072 = 2, rsa_4096 = 3 };

KekTag tag_of(KekType type) {
  switch (type) {
    case KekType::x25519:
      return KekTag::x25519;
    case KekType::rsa_3072:
      return KekTag::rsa_3072;
    case KekType::rsa_4096:
      return KekTag::rsa_4096;
  }
  return KekTag::x25519;
}

std::optional<KekType> type_of_tag(std::uint8_t tag) {
  for (const KekType type : {KekType::x25519, KekType::rsa_3072, KekType::rsa_4096})
    if (static_cast<std::uint8_t>(tag_of(type)) == tag) return type;
  return std::nullopt;
}

unsigned bits_of(KekType rsa) {
  return rsa == KekType::rsa_3072 ? 3072 : 4096;
}

Wrapped wrapped_as(std::string_view algorithm, Buffer bytes) {
  return {"", std::string(algorithm), std::move(bytes)};
}

// Nothing: other key, or altered.
std::optional<SecretBytes> open_box(const SecretBytes& secret, ByteView public_half, ByteView box) {
  if (box.size() <= crypto_box_SEALBYTES) return std::nullopt;
  SecretBytes plain(box.size() - crypto_box_SEALBYTES);
  if (crypto_box_seal_open(plain.reveal().data(), box.data(), box.size(), public_half.data(), secret.reveal().data()) !=
      0)
    return std::nullopt;
  return plain;
}

std::optional<SecretBytes> open_hybrid(const SecretBytes& pkcs8, unsigned bits, ByteView bytes) {
  const std::size_t modulus = bits / 8;
  if (bytes.size() <= modulus + kSealedBytesOverhead) return std::nullopt;
  const auto data_key = rsa_key::decrypt(pkcs8, bytes.first(modulus));
  if (!data_key || data_key->size() != kDataKeyBytes) return std::nullopt;
  const ByteView sealed = bytes.subspan(modulus);
  SecretBytes plain(sealed.size() - kSealedBytesOverhead);
  if (!open_bytes(*data_key, sealed, as_bytes(kHybrid), plain.reveal())) return std::nullopt;
  return plain;
}

}  // namespace

Kek Kek::generate(KekType type) {
  return {type, type == KekType::x25519 ? SecretBytes::random(kX25519Bytes) : rsa_key::generate(bits_of(type))};
}

Result<Kek> Kek::decode(const SecretBytes& encoded, const std::string& object) {
  const auto damaged = [&](std::string because) {
    return fail(ErrorCode::escrow_damaged, "read KEK", object, std::move(because));
  };
  if (encoded.empty()) return damaged("it is empty");
  const auto type = type_of_tag(encoded.reveal().front());
  if (!type) return damaged("it is a key of a kind that this version does not know");
  SecretBytes private_half = SecretBytes::copy_of(encoded.reveal().subspan(1));
  const bool good = *type == KekType::x25519 ? private_half.size() == kX25519Bytes
                                             : rsa_key::is_private_key(private_half, bits_of(*type));
  if (!good) return damaged("it is no private key of type " + std::string(to_string(*type)));
  return Kek(*type, std::move(private_half));
}

SecretBytes Kek::encode() const {
  SecretBytes encoded(1 + private_half_.size());
  encoded.reveal()[0] = static_cast<std::uint8_t>(tag_of(type_));
  std::memcpy(encoded.reveal().data() + 1, private_half_.reveal().data(), private_half_.size());
  return encoded;
}

Buffer Kek::public_half() const {
  if (type_ != KekType::x25519) return rsa_key::public_half(private_half_);
  Buffer half(crypto_box_PUBLICKEYBYTES);
  crypto_scalarmult_base(half.data(), private_half_.reveal().data());
  return half;
}

Wrapped Kek::wrap(const SecretBytes& bek) const {
  CAIRN_ASSERT(!bek.empty());
  if (type_ == KekType::x25519) {
    Buffer box(bek.size() + crypto_box_SEALBYTES);
    CAIRN_ASSERT(crypto_box_seal(box.data(), bek.reveal().data(), bek.size(), public_half().data()) == 0);
    return wrapped_as(kSealedBox, std::move(box));
  }
  if (bek.size() <= rsa_key::most_plain_bytes(bits_of(type_)))
    return wrapped_as(kOaep, rsa_key::encrypt(private_half_, bek.reveal()));
  const SecretBytes data_key = SecretBytes::random(kDataKeyBytes);
  Buffer bytes = rsa_key::encrypt(private_half_, data_key.reveal());
  append(bytes, seal_bytes(data_key, bek.reveal(), as_bytes(kHybrid)));
  return wrapped_as(kHybrid, std::move(bytes));
}

Result<SecretBytes> Kek::unwrap(const Wrapped& wrapped, const std::string& object) const {
  std::optional<SecretBytes> bek;
  if (type_ == KekType::x25519 && wrapped.algorithm == kSealedBox)
    bek = open_box(private_half_, public_half(), wrapped.bytes);
  else if (type_ != KekType::x25519 && wrapped.algorithm == kOaep)
    bek = rsa_key::decrypt(private_half_, wrapped.bytes);
  else if (type_ != KekType::x25519 && wrapped.algorithm == kHybrid)
    bek = open_hybrid(private_half_, bits_of(type_), wrapped.bytes);
  else
    return fail(ErrorCode::kek_wrong_type, "unwrap with", object,
                "it is of type " + std::string(to_string(type_)) + ", and the BEK was wrapped by " + wrapped.algorithm);
  if (!bek || bek->empty() || bek->size() > kMaxBekBytes)
    return fail(ErrorCode::unwrap_failed, "unwrap with", object,
                "the BEK was wrapped by another key, or what was wrapped is damaged");
  return *std::move(bek);
}

Result<Kek> open_kek_backup(const KekBackup& backup, const EscrowKeys& owner, const std::string& object) {
  if (!backup.portable)
    return fail(ErrorCode::not_supported_yet, "use KEK backup", object,
                "only a key vault of the make that it came from can use it");
  CAIRN_TRY(const SecretBytes encoded, open_escrow(backup.sealed, owner, backup.escrow_context(), object));
  CAIRN_TRY(Kek kek, Kek::decode(encoded, object));
  if (backup.type != to_string(kek.type()))
    return fail(ErrorCode::escrow_damaged, "use KEK backup", object,
                "it says that it is of type " + backup.type + " and is " + std::string(to_string(kek.type())));
  return kek;
}

}  // namespace cairn
