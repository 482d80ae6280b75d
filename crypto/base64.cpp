// SPDX-License-Identifier: GPL-3.0-or-later
// Base64 by libsodium.
#include "crypto/base64.h"

#include <sodium.h>

namespace cairn {

std::string to_base64(ByteView bytes) {
  std::string encoded(sodium_base64_encoded_len(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(encoded.data(), encoded.size(), bytes.data(), bytes.size(), sodium_base64_VARIANT_ORIGINAL);
  encoded.resize(encoded.size() - 1);  // the NUL
  return encoded;
}

std::optional<Buffer> from_base64(std::string_view text) {
  Buffer bytes(text.size() / 4 * 3 + 3);
  std::size_t length = 0;
  // Without a place to tell the end, a text that is not base64 to its last character is refused.
  if (sodium_base642bin(bytes.data(), bytes.size(), text.data(), text.size(), nullptr, &length, nullptr,
                        sodium_base64_VARIANT_ORIGINAL) != 0)
    return std::nullopt;
  bytes.resize(length);
  return bytes;
}

}  // namespace cairn
