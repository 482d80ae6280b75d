// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/local/vault_entries.h"

#include <nlohmann/json.hpp>

#include "config/base/text.h"
#include "crypto/vault/vault_errors.h"

namespace cairn {
namespace {

template <class Map>
std::vector<std::string> names_in(const Map& map) {
  std::vector<std::string> names;
  for (const auto& [name, value] : map) names.push_back(name);
  return names;
}

template <class Versions>
std::string numbers_in(const Versions& versions) {
  std::string text;
  for (const auto& [number, value] : versions) text += (text.empty() ? "" : ", ") + std::to_string(number);
  return text;
}

// `what`: "key", "secret".
Result<void> check_room(bool is_new, std::size_t count, std::size_t most, const std::string& what,
                        const std::string& vault, const std::string& name, const std::string& doing) {
  if (!is_vault_name(name))
    return fail(ErrorCode::used_wrongly, doing + " " + what, "\"" + name + "\"", "that is no name",
                "names have letters, digits and . _ -, begin with a letter or digit, and have at most 127 characters");
  if (is_new && count >= most)
    return fail(
        ErrorCode::used_wrongly, doing + " " + what, vault + "/" + name,
        "the vault has " + std::to_string(count) + " of them, and at most " + std::to_string(most) + " are allowed",
        "delete what nothing needs any more");
  return {};
}

template <class Versions>
Result<void> check_count(const Versions& versions, const std::string& doing, const std::string& object) {
  if (versions.size() < kMaxVersions) return {};
  return fail(ErrorCode::used_wrongly, doing, object,
              "it has " + std::to_string(versions.size()) + " versions, and at most " + std::to_string(kMaxVersions) +
                  " are allowed",
              "make a new one of another name");
}

template <class Versions>
Result<VersionNumber> next_number(const Versions& versions, const std::string& doing, const std::string& object) {
  CAIRN_CHECK(check_count(versions, doing, object));
  const VersionNumber newest = versions.empty() ? 0 : versions.rbegin()->first;
  if (newest >= kMaxVersionNumber)
    return fail(ErrorCode::used_wrongly, doing, object, "its newest version has the highest number there is",
                "make a new one of another name");
  return newest + 1;
}

}  // namespace

KekFacts facts_of(const std::string& name, const KeptKek& kek) {
  KekFacts facts{name, std::string(to_string(kek.type)), {}};
  for (const auto& [number, version] : kek.versions)
    facts.versions.push_back({std::to_string(number), version.created});
  return facts;
}

SecretFacts facts_of(const std::string& name, const KeptSecret& secret) {
  SecretFacts facts{name, {}};
  for (const auto& [number, bek] : secret) {
    SecretVersionFacts version;
    version.version = std::to_string(number);
    version.created = bek.created;
    version.type = bek.type;
    version.file_name = bek.file_name;
    version.kek = bek.kek;
    version.kek_version = bek.wrapped.version;
    facts.versions.push_back(std::move(version));
  }
  return facts;
}

std::string versions_of(const KeptKek& kek) {
  return numbers_in(kek.versions);
}
std::string versions_of(const KeptSecret& secret) {
  return numbers_in(secret);
}

Result<KeptKek*> find_kek(VaultContents& contents, const std::string& vault, const std::string& kek) {
  const auto found = contents.keks.find(kek);
  if (found == contents.keks.end()) return no_such_kek(vault, kek, names_in(contents.keks));
  return &found->second;
}

Result<VersionNumber> find_version(const KeptKek& kept, const std::string& vault, const std::string& kek,
                                   const std::string& version) {
  const auto number = parse_version(version);
  if (number && kept.versions.contains(*number)) return *number;
  return fail(ErrorCode::kek_missing, "find key", vault + "/" + kek,
              "it has no version " + version + ", only " + versions_of(kept),
              "\"cairn key restore MACHINE@POINT --vault " + vault + "\" brings a lost version back");
}

Result<KeptSecret*> find_secret(VaultContents& contents, const std::string& vault, const std::string& secret) {
  const auto found = contents.secrets.find(secret);
  if (found == contents.secrets.end()) return no_such_secret(vault, secret, names_in(contents.secrets));
  return &found->second;
}

Result<void> check_room_for_kek(const VaultContents& contents, const std::string& vault, const std::string& kek,
                                const std::string& doing) {
  return check_room(!contents.keks.contains(kek), contents.keks.size(), kMaxKeks, "key", vault, kek, doing);
}

Result<void> check_room_for_secret(const VaultContents& contents, const std::string& vault, const std::string& secret,
                                   const WrappedBek& bek, const std::string& doing) {
  CAIRN_CHECK(check_room(!contents.secrets.contains(secret), contents.secrets.size(), kMaxSecrets, "secret", vault,
                         secret, doing));
  // What could not be read again must not be written.
  if (const auto again = wrapped_bek_from_json(to_json(bek), secret); !again)
    return fail(ErrorCode::used_wrongly, doing + " secret", vault + "/" + secret, again.error().because);
  return {};
}

Result<void> check_room_for_version(const KeptKek& kek, const std::string& doing, const std::string& object) {
  return check_count(kek.versions, doing, object);
}
Result<void> check_room_for_version(const KeptSecret& secret, const std::string& doing, const std::string& object) {
  return check_count(secret, doing, object);
}
Result<VersionNumber> next_version(const KeptKek& kek, const std::string& doing, const std::string& object) {
  return next_number(kek.versions, doing, object);
}
Result<VersionNumber> next_version(const KeptSecret& secret, const std::string& doing, const std::string& object) {
  return next_number(secret, doing, object);
}

Result<VersionNumber> version_number(const std::string& version, const std::string& doing, const std::string& object) {
  if (const auto number = parse_version(version)) return *number;
  return fail(ErrorCode::used_wrongly, doing, object,
              "its version is called \"" + version + "\", and the versions of a local vault are numbers",
              "import or create it anew");
}

}  // namespace cairn
