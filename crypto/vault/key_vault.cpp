// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/key_vault.h"

#include <algorithm>
#include <cctype>

namespace cairn {

std::string_view to_string(KekType type) {
  switch (type) {
    case KekType::x25519:
      return "X25519";
    case KekType::rsa_3072:
      return "RSA-3072";
    case KekType::rsa_4096:
      return "RSA-4096";
  }
  return "X25519";
}

std::optional<KekType> parse_kek_type(std::string_view text) {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  for (const KekType type : {KekType::x25519, KekType::rsa_3072, KekType::rsa_4096})
    if (std::ranges::equal(text, to_string(type), same)) return type;
  return std::nullopt;
}

}  // namespace cairn
