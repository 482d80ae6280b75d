// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/local/vault_contents.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "config/base/text.h"
#include "crypto/base64.h"

namespace cairn {
namespace {

using nlohmann::json;
constexpr std::size_t kMaxSealedKek = std::size_t{16} * 1024;  // RSA-4096: about 2.5 KiB

void require(bool holds, const std::string& because) {
  if (!holds) throw BadDocument{because};
}

void require_members(const json& object, std::size_t count, const std::string& what) {
  require(object.is_object() && object.size() == count, what + " does not have the members that it must have");
}

UtcTime time_in(const json& text, const std::string& what) {
  const auto time = parse_iso_time(text.get_ref<const std::string&>());
  require(time.has_value(), "the time of " + what + " is not a time");
  return *time;
}

Buffer bytes_in(const json& text, std::size_t at_most, const std::string& what) {
  const std::string& encoded = text.get_ref<const std::string&>();
  require(encoded.size() / 4 * 3 <= at_most + 2, what + " is too long");
  auto bytes = from_base64(encoded);
  require(bytes.has_value(), what + " is not base64");
  return *std::move(bytes);
}

// Versions are a list in ascending order: JSON's own keys would sort "10" before "2".
VersionNumber version_in(const json& entry, VersionNumber before, const std::string& what) {
  const json& number = entry.at("version");
  require(number.is_number_unsigned() && number.get<std::uint64_t>() > before &&
              number.get<std::uint64_t>() <= kMaxVersionNumber,
          "the versions of " + what + " are not in order");
  return number.get<VersionNumber>();
}

void require_versions(const json& versions, const std::string& what) {
  require(versions.is_array() && !versions.empty() && versions.size() <= kMaxVersions,
          what + " has no versions, or too many");
}

json policy_to_json(const AccessPolicy& policy) {
  json principals = json::object();
  for (const auto& [principal, rights] : policy.principals()) {
    json names = json::array();
    for (const Right right : rights) names.push_back(to_string(right));
    principals[principal] = std::move(names);
  }
  return principals;
}

AccessPolicy policy_in(const json& principals) {
  require(principals.is_object() && principals.size() <= kMaxPrincipals, "it has no policy, or too many principals");
  AccessPolicy policy;
  for (const auto& [principal, names] : principals.items()) {
    require(is_valid_name(principal) && names.is_array() && !names.empty(), "a principal of the policy is none");
    Rights rights;
    for (const json& name : names) {
      const auto right = parse_right(name.get_ref<const std::string&>());
      require(right.has_value(), "the policy has a right that this version does not know");
      rights.insert(*right);
    }
    policy.grant(principal, rights);
  }
  return policy;
}

json keks_to_json(const VaultContents& contents) {
  json keys = json::object();
  for (const auto& [name, kek] : contents.keks) {
    json versions = json::array();
    for (const auto& [number, version] : kek.versions)
      versions.push_back(
          {{"version", number}, {"created", iso_time(version.created)}, {"sealed", to_base64(version.sealed)}});
    keys[name] = {{"type", to_string(kek.type)}, {"versions", std::move(versions)}};
  }
  return keys;
}

std::map<std::string, KeptKek> keks_in(const json& keys) {
  require(keys.is_object() && keys.size() <= kMaxKeks, "it has no list of keys, or too many keys");
  std::map<std::string, KeptKek> keks;
  for (const auto& [name, entry] : keys.items()) {
    require(is_vault_name(name), "a key has a name that is none");
    const std::string what = "key " + name;
    require_members(entry, 2, what);
    KeptKek kek;
    const auto& type_name = entry.at("type").get_ref<const std::string&>();
    const auto type = parse_kek_type(type_name);
    require(type && type_name == to_string(*type), what + " is of a type that this version does not know");
    kek.type = *type;
    const json& versions = entry.at("versions");
    require_versions(versions, what);
    VersionNumber before = 0;
    for (const json& version : versions) {
      require_members(version, 3, "a version of " + what);
      before = version_in(version, before, what);
      kek.versions[before] = {time_in(version.at("created"), what),
                              bytes_in(version.at("sealed"), kMaxSealedKek, "the private half of " + what)};
    }
    keks.emplace(name, std::move(kek));
  }
  return keks;
}

json secrets_to_json(const VaultContents& contents) {
  json secrets = json::object();
  for (const auto& [name, kept] : contents.secrets) {
    json versions = json::array();
    for (const auto& [number, bek] : kept) versions.push_back({{"version", number}, {"bek", to_json(bek)}});
    secrets[name] = {{"versions", std::move(versions)}};
  }
  return secrets;
}

std::map<std::string, KeptSecret> secrets_in(const json& entries, const std::string& object) {
  require(entries.is_object() && entries.size() <= kMaxSecrets, "it has no list of secrets, or too many secrets");
  std::map<std::string, KeptSecret> secrets;
  for (const auto& [name, entry] : entries.items()) {
    require(is_vault_name(name), "a secret has a name that is none");
    const std::string what = "secret " + name;
    require_members(entry, 1, what);
    const json& versions = entry.at("versions");
    require_versions(versions, what);
    KeptSecret kept;
    VersionNumber before = 0;
    for (const json& version : versions) {
      require_members(version, 2, "a version of " + what);
      before = version_in(version, before, what);
      auto bek = wrapped_bek_from_json(version.at("bek"), object);
      if (!bek) throw BadDocument{what + ": " + bek.error().because};
      kept.emplace(before, *std::move(bek));
    }
    secrets.emplace(name, std::move(kept));
  }
  return secrets;
}

}  // namespace

std::optional<VersionNumber> parse_version(std::string_view text) {
  VersionNumber number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc() || end != text.data() + text.size() || text.front() == '0' || number > kMaxVersionNumber)
    return std::nullopt;
  return number;
}

json to_json(const VaultContents& contents) {
  return {{"created", iso_time(contents.created)},
          {"policy", policy_to_json(contents.policy)},
          {"keys", keks_to_json(contents)},
          {"secrets", secrets_to_json(contents)},
          {"audit", {{"number", contents.audit.number}, {"mac", to_hex(contents.audit.mac)}}}};
}

Result<VaultContents> vault_contents_from_json(const json& document, const std::string& object) {
  const auto damaged = [&](std::string because) {
    return fail(ErrorCode::vault_damaged, "read key vault", object, std::move(because));
  };
  const auto read = [&]() -> Result<VaultContents> {
    require_members(document, 5, "it");
    VaultContents contents;
    contents.created = time_in(document.at("created"), "the vault");
    contents.policy = policy_in(document.at("policy"));
    contents.keks = keks_in(document.at("keys"));
    contents.secrets = secrets_in(document.at("secrets"), object);
    const json& audit = document.at("audit");
    require_members(audit, 2, "the mark of the audit log");
    require(audit.at("number").is_number_unsigned(), "the number of the last audit entry is no number");
    contents.audit.number = whole_number<std::uint64_t>(audit.at("number"));
    const auto mac = from_hex(audit.at("mac").get_ref<const std::string&>());
    require(mac && mac->size() == contents.audit.mac.size(), "the MAC of the last audit entry is not 32 bytes");
    contents.audit.mac = *mac;
    return contents;
  };
  return read_document(read, damaged);
}

}  // namespace cairn
