// SPDX-License-Identifier: GPL-3.0-or-later
// Key text: keys and passphrases as editors, printers, web pages and Windows write them: with a byte order mark, in
// UTF-16, with dashes and spaces that only look like those of a keyboard, composed or decomposed. All of it stays in
// locked memory. Sources: Unicode 15.0, UAX #15 (normalisation forms), chapter 23.8 (byte order mark). Pure. Any
// thread.
#pragma once

#include <cstddef>
#include <optional>

#include "config/base/bytes.h"
#include "crypto/secret_bytes.h"

namespace cairn {

// More than any passphrase or any page with a key on it; longer ones are taken for files.
inline constexpr std::size_t kMaxKeyText = std::size_t{64} * 1024;

// What begins with a byte order mark, as UTF-8 without it. Nothing: there is none, it is not text in what the mark
// says, or longer than kMaxKeyText.
std::optional<SecretBytes> without_byte_order_mark(ByteView text);

// The same with '-' for each of Unicode's dashes and minus signs and ' ' for each of its spaces; characters of no width
// are left out. Bytes that are not UTF-8 stay. For keys of digits and letters, not for passphrases.
SecretBytes with_plain_dashes(ByteView text);

// The two ways to write what is one letter to the eye: U+00E4, or a and U+0308. Keyboards make the first, some systems
// (macOS) turn it into the second; to a passphrase they are different.
enum class TextForm { composed, decomposed };  // NFC, NFD
// Nothing: not UTF-8, longer than kMaxKeyText, or the same as `text`.
std::optional<SecretBytes> in_form(TextForm form, ByteView text);

}  // namespace cairn
