// SPDX-License-Identifier: GPL-3.0-or-later
// What a local vault holds, as values, and as the JSON document that is sealed in its file. Holds no secret in the
// clear: the private halves of KEKs are sealed once more, BEKs are wrapped. Bytes: crypto/vault/VAULT.md "vault". Pure.
// Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "crypto/vault/access_policy.h"
#include "crypto/vault/key_vault.h"

namespace cairn {

inline constexpr std::size_t kMaxKeks = 10'000;
inline constexpr std::size_t kMaxSecrets = 10'000;
inline constexpr std::size_t kMaxVersions = 1'000;  // of one key or secret
inline constexpr std::size_t kMaxPrincipals = 1'000;

using VersionNumber = std::uint32_t;  // from 1
inline constexpr VersionNumber kMaxVersionNumber = 999'999'999;
// "7"; nothing when it is none: another character, a zero in front, over kMaxVersionNumber.
std::optional<VersionNumber> parse_version(std::string_view text);

struct KeptKek {
  KekType type = KekType::x25519;
  struct Version {
    UtcTime created;
    Buffer sealed;  // Kek::encode(), sealed under VaultKeys::private_halves
  };
  std::map<VersionNumber, Version> versions;  // at least one
};

using KeptSecret = std::map<VersionNumber, WrappedBek>;  // at least one

// The last entry of the audit log that the vault knows of.
struct AuditMark {
  std::uint64_t number = 0;  // 0: none
  Buffer mac = Buffer(32);
  bool operator==(const AuditMark&) const = default;
};

struct VaultContents {
  UtcTime created;
  AccessPolicy policy;
  std::map<std::string, KeptKek> keks;
  std::map<std::string, KeptSecret> secrets;
  AuditMark audit;
};

nlohmann::json to_json(const VaultContents& contents);
// Errors: vault_damaged. Refuses what is over the limits above, unknown members and names that are none.
Result<VaultContents> vault_contents_from_json(const nlohmann::json& document, const std::string& object);

}  // namespace cairn
