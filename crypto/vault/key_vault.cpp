// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/key_vault.h"

#include <string>

#include "config/base/text.h"

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
  const std::string wanted = lower_ascii(text);
  for (const KekType type : {KekType::x25519, KekType::rsa_3072, KekType::rsa_4096})
    if (wanted == lower_ascii(to_string(type))) return type;
  return std::nullopt;
}

}  // namespace cairn
