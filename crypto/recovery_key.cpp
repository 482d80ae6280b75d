// SPDX-License-Identifier: GPL-3.0-or-later
// Recovery keys: X25519 pairs whose secret half is printed for paper.
#include <sodium.h>

#include <array>

#include "crypto/key_slots.h"

namespace cairn {
namespace {

constexpr std::string_view kPrefix = "CAIRN-RECOVERY";
constexpr std::string_view kBase32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";  // RFC 4648, section 6
constexpr std::size_t kSecretBytes = crypto_box_SECRETKEYBYTES;
constexpr std::size_t kCheckBytes = 3;
constexpr std::size_t kPayloadBytes = kSecretBytes + kCheckBytes;  // 35 bytes: 56 base32 digits exactly
constexpr std::size_t kDigits = kPayloadBytes * 8 / 5;
constexpr std::size_t kGroup = 7;
static_assert(kPayloadBytes * 8 % 5 == 0 && kDigits % kGroup == 0);

// Finds typing errors; it is no protection: 24 bits of BLAKE2b.
void put_checksum(MutableBytes payload) {
  std::array<std::uint8_t, crypto_generichash_BYTES_MIN> hash{};
  crypto_generichash(hash.data(), hash.size(), payload.data(), kSecretBytes, as_bytes(kPrefix).data(), kPrefix.size());
  std::memcpy(payload.data() + kSecretBytes, hash.data(), kCheckBytes);
}

}  // namespace

RecoveryKeyPair make_recovery_key() {
  static_assert(crypto_box_PUBLICKEYBYTES == 32 && kSecretBytes == 32);
  RecoveryKeyPair pair{SecretBytes(kSecretBytes), Buffer(crypto_box_PUBLICKEYBYTES)};
  crypto_box_keypair(pair.public_half.data(), pair.secret.reveal().data());
  return pair;
}

SecretBytes print_recovery_key(const SecretBytes& secret) {
  CAIRN_ASSERT(secret.size() == kSecretBytes);
  SecretBytes payload(kPayloadBytes);
  std::memcpy(payload.reveal().data(), secret.reveal().data(), kSecretBytes);
  put_checksum(payload.reveal());

  SecretBytes text(kPrefix.size() + kDigits + kDigits / kGroup);
  std::uint8_t* out = text.reveal().data();
  std::memcpy(out, kPrefix.data(), kPrefix.size());
  out += kPrefix.size();
  const ByteView bits = payload.reveal();
  for (std::size_t digit = 0; digit < kDigits; ++digit) {
    unsigned value = 0;
    for (std::size_t bit = digit * 5; bit < digit * 5 + 5; ++bit)
      value = value * 2 + (bits[bit / 8] >> (7 - bit % 8) & 1U);
    if (digit % kGroup == 0) *out++ = '-';
    *out++ = static_cast<std::uint8_t>(kBase32[value]);
  }
  return text;
}

Result<SecretBytes> parse_recovery_key(ByteView text, const std::string& object) {
  const auto refuse = [&](std::string because) {
    return fail(ErrorCode::key_file_invalid, "read recovery key", object, std::move(because),
                "type it exactly as it was printed");
  };
  SecretBytes payload(kPayloadBytes);
  std::size_t digits = 0;
  std::size_t prefix_seen = 0;  // characters of "CAIRNRECOVERY", which may be left out
  static constexpr std::string_view kLetters = "CAIRNRECOVERY";
  SecretBytes clean(text.size());
  std::size_t length = 0;
  for (const std::uint8_t byte : text) {
    if (byte == '-' || byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t') continue;
    clean.reveal()[length++] = byte >= 'a' && byte <= 'z' ? static_cast<std::uint8_t>(byte - 'a' + 'A') : byte;
  }
  ByteView rest = std::as_const(clean).reveal().first(length);
  if (rest.size() == kLetters.size() + kDigits && as_text(rest.first(kLetters.size())) == kLetters)
    prefix_seen = kLetters.size();
  rest = rest.subspan(prefix_seen);
  if (rest.size() != kDigits)
    return refuse("it has " + std::to_string(rest.size()) + " letters and digits after CAIRN-RECOVERY instead of " +
                  std::to_string(kDigits));
  for (const std::uint8_t byte : rest) {
    const std::size_t value = kBase32.find(static_cast<char>(byte));
    if (value == std::string_view::npos) return refuse("it holds a character other than A-Z and 2-7");
    for (std::size_t bit = 0; bit < 5; ++bit) {
      const std::size_t at = digits * 5 + bit;
      if ((value >> (4 - bit) & 1U) != 0) payload.reveal()[at / 8] |= static_cast<std::uint8_t>(1U << (7 - at % 8));
    }
    ++digits;
  }
  SecretBytes expected = SecretBytes::copy_of(std::as_const(payload).reveal());
  put_checksum(expected.reveal());
  if (sodium_memcmp(expected.reveal().data(), payload.reveal().data(), kPayloadBytes) != 0)
    return refuse("its checksum is wrong: a character is mistyped");
  payload.shrink_to(kSecretBytes);
  return payload;
}

}  // namespace cairn
