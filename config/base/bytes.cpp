// SPDX-License-Identifier: GPL-3.0-or-later
#include "config/base/bytes.h"

namespace cairn {

bool is_all_zero(ByteView bytes) {
  if (bytes.empty()) return true;
  // Compared with itself shifted by one: all equal and the first is zero. memcmp is vectorised.
  return bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

std::string to_hex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    text.push_back(kDigits[byte >> 4U]);
    text.push_back(kDigits[byte & 15U]);
  }
  return text;
}

namespace {
int digit_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}
}  // namespace

std::optional<Buffer> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  Buffer bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = digit_value(text[i]);
    const int low = digit_value(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<std::uint8_t>(high * 16 + low));
  }
  return bytes;
}

std::string guid_text(ByteView guid) {
  return to_hex(Buffer{guid[3], guid[2], guid[1], guid[0]}) + "-" + to_hex(Buffer{guid[5], guid[4]}) + "-" +
         to_hex(Buffer{guid[7], guid[6]}) + "-" + to_hex(guid.subspan(8, 2)) + "-" + to_hex(guid.subspan(10, 6));
}

}  // namespace cairn
