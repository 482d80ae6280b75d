// SPDX-License-Identifier: GPL-3.0-or-later
// Recovery keys: X25519 pairs whose secret half is printed for paper.
#include <sodium.h>

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "crypto/key_slots.h"
#include "crypto/key_text.h"

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

// The digits of a recovery key as somebody typed them, in groups as far as they are told apart.
class Typed {
 public:
  explicit Typed(ByteView text) : values_(text.size()), groups_(1) {
    SecretBytes letters(text.size());
    for (const std::uint8_t byte : text) {
      const bool separates = byte == '-' || byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
      if (separates && groups_.back() != 0) groups_.push_back(0);
      if (separates) continue;
      letters.reveal()[size_++] = as_printed(byte);
      ++groups_.back();
    }
    if (groups_.back() == 0) groups_.pop_back();
    drop_prefix(letters);
    for (std::size_t i = 0; i < size_; ++i) {
      const std::size_t value = kBase32.find(static_cast<char>(std::as_const(letters).reveal()[i]));
      values_.reveal()[i] = value == std::string_view::npos ? kNoDigit : static_cast<std::uint8_t>(value);
    }
  }

  // What can be seen without the checksum. Empty: nothing.
  std::string problem() {
    std::string problems;
    const auto add = [&](std::size_t group, const std::string& what) {
      problems += (problems.empty() ? "" : "; ") + name_of(group) + what;
    };
    const bool grouped = groups_.size() == kGroups;
    std::size_t at = 0;
    for (std::size_t group = 0; grouped && group < kGroups; at += groups_[group++])
      if (groups_[group] != kGroup)
        add(group, " has " + std::to_string(groups_[group]) + " characters instead of " + std::to_string(kGroup));
    if (problems.empty() && size_ != kDigits)
      return "it has " + std::to_string(size_) + " letters and digits after CAIRN-RECOVERY instead of " +
             std::to_string(kDigits);
    std::size_t last = kGroups;
    for (std::size_t i = 0; i < size_ && problems.empty(); ++i) {
      if (values_.reveal()[i] != kNoDigit || i / kGroup == last) continue;
      last = i / kGroup;
      add(last, " holds a character other than A-Z and 2-7");
    }
    return problems;
  }

  bool is_right() {
    pack();
    std::memcpy(expected_.reveal().data(), payload_.reveal().data(), kSecretBytes);
    put_checksum(expected_.reveal());
    return sodium_memcmp(expected_.reveal().data(), payload_.reveal().data(), kPayloadBytes) == 0;
  }

  // One checksum covers all groups; which is wrong is found out by correcting one after the other. A single slip is
  // found for certain but for one chance in 9,000; two in one group but for one in 100.
  std::string what_is_mistyped() {
    for (std::size_t at = 0; at < kDigits; ++at)
      if (any_value_fits(at, [&] { return is_right(); })) return name_of(at / kGroup) + " is mistyped";
    for (std::size_t at = 0; at + 1 < kDigits; ++at) {
      const MutableBytes values = values_.reveal();
      std::swap(values[at], values[at + 1]);
      const bool right = is_right();
      std::swap(values[at], values[at + 1]);
      if (right) return name_of(at / kGroup) + " is mistyped: two neighbours are swapped";
    }
    for (std::size_t at = 0; at < kDigits; ++at)
      for (std::size_t other = at + 1; other < (at / kGroup + 1) * kGroup; ++other)
        if (any_value_fits(at, [&] { return any_value_fits(other, [&] { return is_right(); }); }))
          return name_of(at / kGroup) + " is mistyped, most likely, in two places";
    return "more than one group is mistyped, or it is another key";
  }

  SecretBytes secret() && {
    pack();
    payload_.shrink_to(kSecretBytes);
    return std::move(payload_);
  }

 private:
  static constexpr std::size_t kGroups = kDigits / kGroup;
  static constexpr std::uint8_t kNoDigit = 0xFF;

  // Capital letters; digits that are not printed stand for the letters that they resemble.
  static std::uint8_t as_printed(std::uint8_t byte) {
    if (byte == '0') return 'O';
    if (byte == '1') return 'I';
    return byte >= 'a' && byte <= 'z' ? static_cast<std::uint8_t>(byte - 'a' + 'A') : byte;
  }
  static std::string name_of(std::size_t group) {
    return "group " + std::to_string(group + 1) + " of " + std::to_string(kGroups) + " after CAIRN-RECOVERY";
  }

  // It may be left out; 56 digits alone are a key, whatever they begin with.
  void drop_prefix(SecretBytes& letters) {
    static constexpr std::string_view kLetters = "CAIRNRECOVERY";
    if (size_ == kDigits || !as_text(std::as_const(letters).reveal().first(size_)).starts_with(kLetters)) return;
    size_ -= kLetters.size();
    std::memmove(letters.reveal().data(), letters.reveal().data() + kLetters.size(), size_);
    std::size_t drop = kLetters.size();
    while (drop > 0 && drop >= groups_.front()) {
      drop -= groups_.front();
      groups_.erase(groups_.begin());
    }
    if (drop > 0) groups_.front() -= drop;
  }

  void pack() {
    sodium_memzero(payload_.reveal().data(), kPayloadBytes);
    for (std::size_t at = 0; at < kDigits * 5; ++at)
      if ((values_.reveal()[at / 5] >> (4 - at % 5) & 1U) != 0)
        payload_.reveal()[at / 8] |= static_cast<std::uint8_t>(1U << (7 - at % 8));
  }

  // Whether `fits` holds with another value there; the value stays as it was.
  template <typename Fits>
  bool any_value_fits(std::size_t at, const Fits& fits) {
    std::uint8_t& value = values_.reveal()[at];
    const std::uint8_t before = value;
    bool found = false;
    for (std::uint8_t other = 0; other < kBase32.size() && !found; ++other) {
      value = other;
      found = other != before && fits();
    }
    value = before;
    return found;
  }

  SecretBytes values_;               // 0 to 31 each, or kNoDigit
  std::size_t size_ = 0;             // of them
  std::vector<std::size_t> groups_;  // characters of each
  SecretBytes payload_{kPayloadBytes};
  SecretBytes expected_{kPayloadBytes};
};

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
                "compare it with what was printed: eight groups of seven, A-Z and 2-7");
  };
  if (text.size() > kMaxKeyText) return refuse("it is far longer than a recovery key");
  const auto unmarked = without_byte_order_mark(text);
  const SecretBytes typed = with_plain_dashes(unmarked ? std::as_const(*unmarked).reveal() : text);
  Typed key(typed.reveal());
  if (const std::string problem = key.problem(); !problem.empty()) return refuse(problem);
  if (!key.is_right()) return refuse("its checksum is wrong: " + key.what_is_mistyped());
  return std::move(key).secret();
}

}  // namespace cairn
