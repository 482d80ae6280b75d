// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/key_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "config/base/text.h"

namespace cairn {
namespace {

constexpr std::array<std::uint8_t, 3> kUtf8Mark = {0xEF, 0xBB, 0xBF};
constexpr std::size_t kMostUtf8 = 4;  // bytes of one character

bool begins_with(ByteView text, ByteView start) {
  return text.size() >= start.size() && std::ranges::equal(text.first(start.size()), start);
}

// Nothing: a surrogate without its other half, or half a unit at the end.
std::optional<SecretBytes> from_utf16(ByteView text, bool little_endian) {
  if (text.size() % 2 != 0) return std::nullopt;
  const auto unit = [&](std::size_t at) {
    const unsigned low = text[little_endian ? at : at + 1];
    const unsigned high = text[little_endian ? at + 1 : at];
    return high << 8U | low;
  };
  SecretBytes utf8(text.size() / 2 * 3);  // a pair of surrogates makes four bytes of its four
  std::size_t size = 0;
  for (std::size_t at = 0; at < text.size(); at += 2) {
    unsigned character = unit(at);
    if (character >= 0xDC00 && character < 0xE000) return std::nullopt;
    if (character >= 0xD800 && character < 0xDC00) {
      at += 2;
      if (at >= text.size() || unit(at) < 0xDC00 || unit(at) >= 0xE000) return std::nullopt;
      character = 0x10000U + ((character - 0xD800U) << 10U) + (unit(at) - 0xDC00U);
    }
    std::array<utf8proc_uint8_t, kMostUtf8> encoded{};
    const auto length =
        static_cast<std::size_t>(utf8proc_encode_char(static_cast<utf8proc_int32_t>(character), encoded.data()));
    std::memcpy(utf8.reveal().data() + size, encoded.data(), length);
    size += length;
  }
  utf8.shrink_to(size);
  return utf8;
}

// '-', ' ', 0 for nothing at all; otherwise the character itself.
utf8proc_int32_t plain(utf8proc_int32_t character) {
  constexpr utf8proc_int32_t kMinus = 0x2212;
  constexpr utf8proc_int32_t kSoftHyphen = 0xAD;
  constexpr utf8proc_int32_t kHyphenBullet = 0x2043;
  switch (utf8proc_category(character)) {
    case UTF8PROC_CATEGORY_PD:
      return '-';
    case UTF8PROC_CATEGORY_ZS:
      return ' ';
    case UTF8PROC_CATEGORY_CF:
      return character == kSoftHyphen ? '-' : 0;
    default:
      return character == kMinus || character == kHyphenBullet ? '-' : character;
  }
}

}  // namespace

std::optional<SecretBytes> without_byte_order_mark(ByteView text) {
  if (text.size() > kMaxKeyText) return std::nullopt;
  if (begins_with(text, kUtf8Mark)) {
    text = text.subspan(kUtf8Mark.size());
    if (!is_utf8(as_text(text))) return std::nullopt;
    return SecretBytes::copy_of(text);
  }
  if (text.size() < 2) return std::nullopt;
  const bool little = text[0] == 0xFF && text[1] == 0xFE;
  const bool big = text[0] == 0xFE && text[1] == 0xFF;
  if (!little && !big) return std::nullopt;
  return from_utf16(text.subspan(2), little);
}

SecretBytes with_plain_dashes(ByteView text) {
  SecretBytes clean(text.size());
  std::size_t size = 0;
  while (!text.empty()) {
    const std::size_t length = std::max<std::size_t>(utf8_length(as_text(text)), 1);
    ByteView kept = text.first(length);
    utf8proc_int32_t character = 0;
    std::uint8_t replaced = 0;
    if (length > 1 && utf8proc_iterate(text.data(), static_cast<utf8proc_ssize_t>(length), &character) > 0) {
      const utf8proc_int32_t now = plain(character);
      replaced = static_cast<std::uint8_t>(now);
      if (now != character) kept = now == 0 ? ByteView() : ByteView(&replaced, 1);
    }
    std::ranges::copy(kept, clean.reveal().begin() + static_cast<std::ptrdiff_t>(size));
    size += kept.size();
    text = text.subspan(length);
  }
  clean.shrink_to(size);
  return clean;
}

std::optional<SecretBytes> in_form(TextForm form, ByteView text) {
  if (text.empty() || text.size() > kMaxKeyText || !is_utf8(as_text(text))) return std::nullopt;
  const auto options = static_cast<utf8proc_option_t>(
      UTF8PROC_STABLE | (form == TextForm::composed ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE));
  // Only buffers of ours are used: utf8proc_NFC() would leave the passphrase in the ordinary heap.
  const auto length = static_cast<utf8proc_ssize_t>(text.size());
  const utf8proc_ssize_t characters = utf8proc_decompose(text.data(), length, nullptr, 0, options);
  if (characters <= 0) return std::nullopt;
  // The re-encoded text takes the place of the characters, at most four bytes each, and a zero behind them.
  SecretBytes room((static_cast<std::size_t>(characters) + 1) * sizeof(utf8proc_int32_t));
  auto* const buffer = reinterpret_cast<utf8proc_int32_t*>(room.reveal().data());
  if (utf8proc_decompose(text.data(), length, buffer, characters, options) != characters) return std::nullopt;
  const utf8proc_ssize_t size = utf8proc_reencode(buffer, characters, options);
  if (size <= 0) return std::nullopt;
  SecretBytes formed = SecretBytes::copy_of(std::as_const(room).reveal().first(static_cast<std::size_t>(size)));
  if (std::ranges::equal(std::as_const(formed).reveal(), text)) return std::nullopt;
  return formed;
}

}  // namespace cairn
