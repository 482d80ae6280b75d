// SPDX-License-Identifier: GPL-3.0-or-later
// Wrapped BEKs: a BEK as a vault keeps it and a recovery point holds it: wrapped by a KEK, with what is needed to
// unwrap it. Worthless without the KEK. Document: crypto/vault/VAULT.md "Wrapped BEK". Pure. Any thread.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "config/base/bytes.h"
#include "config/base/clock.h"
#include "config/base/result.h"
#include "crypto/bek.h"

namespace cairn {

// What a KEK makes of some bytes.
struct Wrapped {
  std::string version;    // of the KEK
  std::string algorithm;  // "X25519-sealed-box", "RSA-OAEP-256", "RSA-OAEP", each perhaps with "+XChaCha20-Poly1305"
  Buffer bytes;
};

struct WrappedBek {
  BekType type = BekType::luks_key_file;
  std::string file_name;  // as it was imported ("4381F759-....BEK"), or empty
  std::string kek;        // the KEK's name in its vault
  Wrapped wrapped;
  UtcTime created;
  bool operator==(const WrappedBek& other) const;
};

nlohmann::json to_json(const WrappedBek& bek);
// Errors: secret_damaged. Refuses over 12 MiB of wrapped bytes, versions and algorithms over 128 characters.
Result<WrappedBek> wrapped_bek_from_json(const nlohmann::json& document, const std::string& object);

}  // namespace cairn
