// SPDX-License-Identifier: GPL-3.0-or-later
// Clear keys of BitLocker: VMK and FVEK are AES-CCM sealed (RFC 3610, nonce 12, tag 16). Source: libbde, "BitLocker
// Drive Encryption (BDE) format", "Volume Master Key (VMK)".
#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "config/base/byte_source.h"
#include "crypto/volume/fve_volume.h"
#include "crypto/volume/unlock.h"

namespace cairn {
namespace {

// A volume's header areas as a source.
class HeaderSource final : public ByteSource {
 public:
  HeaderSource(const ReadHeader& read, std::uint64_t size) : read_(read), size_(size) {}
  [[nodiscard]] std::uint64_t size() const override { return size_; }
  Result<void> read(std::uint64_t offset, MutableBytes to) override { return read_(offset, to); }

 private:
  const ReadHeader& read_;
  std::uint64_t size_;
};

std::unexpected<Error> not_opened(ErrorCode code, const std::string& object, std::string because) {
  return fail(code, "unlock the BitLocker volume without a secret", object, std::move(because));
}

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

// The key that was sealed under `with`, 32 bytes. Nothing: its tag does not agree. libcrypto's key schedules lie in
// the ordinary heap here: a key that anybody can read on the disk is no secret.
std::optional<SecretBytes> unseal(ByteView with, ByteView sealed) {
  if (sealed.size() <= kFveNonceBytes + kFveMacBytes + kFveUnsealedHeader) return std::nullopt;
  const ByteView nonce = sealed.first(kFveNonceBytes);
  Buffer mac(sealed.begin() + kFveNonceBytes, sealed.begin() + kFveNonceBytes + kFveMacBytes);
  const ByteView cipher = sealed.subspan(kFveNonceBytes + kFveMacBytes);
  SecretBytes plain(cipher.size());
  const std::unique_ptr<EVP_CIPHER_CTX, FreeCipher> context(EVP_CIPHER_CTX_new());
  int length = 0;
  const bool opened =
      context && EVP_DecryptInit_ex(context.get(), EVP_aes_256_ccm(), nullptr, nullptr, nullptr) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_CCM_SET_IVLEN, static_cast<int>(kFveNonceBytes), nullptr) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_CCM_SET_TAG, static_cast<int>(kFveMacBytes), mac.data()) == 1 &&
      EVP_DecryptInit_ex(context.get(), nullptr, nullptr, with.data(), nonce.data()) == 1 &&
      EVP_DecryptUpdate(context.get(), plain.reveal().data(), &length, cipher.data(),
                        static_cast<int>(cipher.size())) == 1;
  if (!opened || static_cast<std::size_t>(length) != cipher.size()) return std::nullopt;
  return SecretBytes::copy_of(std::as_const(plain).reveal().subspan(kFveUnsealedHeader));
}

}  // namespace

bool has_clear_key(const VolumeFacts& facts) {
  return facts.type == VolumeType::bitlocker &&
         std::ranges::any_of(facts.slots, [](const KeySlotFacts& slot) { return slot.kind == kClearKeyKind; });
}

Result<UnlockedVolume> unlock_without_secret(const VolumeFacts& facts, const ReadHeader& read,
                                             const std::string& object) {
  if (!has_clear_key(facts))
    return not_opened(ErrorCode::bek_does_not_open, object, "no key that needs no secret is stored on it");
  HeaderSource source(read, facts.place.size);
  CAIRN_TRY(const auto volume, read_fve_volume({source, facts.partition, {0, facts.place.size}, object}));
  const auto best = volume ? best_block(*volume) : std::nullopt;
  if (!best || volume->vista)
    return not_opened(ErrorCode::header_damaged, object, "none of the three FVE metadata blocks can be used");
  const FveClearKeys found = fve_clear_keys(volume->bytes[*best]);
  for (const FveClearKey& clear : found.keys) {
    const auto master_key = unseal(clear.key, clear.sealed_master_key);
    if (!master_key || master_key->size() != clear.key.size()) continue;
    for (const ByteView sealed : found.sealed_volume_keys)
      if (auto key = unseal(std::as_const(*master_key).reveal(), sealed)) return UnlockedVolume{-1, *std::move(key)};
  }
  return not_opened(ErrorCode::bek_does_not_open, object, "the clear key on it does not open what it seals");
}

}  // namespace cairn
