// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/command/vault_answers.h"

#include <fmt/core.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "config/base/json.h"
#include "config/base/text.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxVersion = 128;  // characters
constexpr std::size_t kMaxType = 64;      // characters

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// What is wrong with the output; who called knows whose output it is.
std::unexpected<Error> rubbish(std::string what) {
  return fail(ErrorCode::vault_command_failed, "", "", std::move(what));
}

Result<const json*> member(const json& object, const char* name, const std::string& of) {
  if (object.is_object())
    if (const auto found = object.find(name); found != object.end()) return &*found;
  return rubbish(fmt::format("{} has no \"{}\"", of, name));
}

Result<std::string> text_member(const json& object, const char* name, const std::string& of) {
  CAIRN_TRY(const json* value, member(object, name, of));
  if (!value->is_string()) return rubbish(fmt::format("\"{}\" of {} is no text", name, of));
  return value->get<std::string>();
}

Result<const json*> array_member(const json& object, const char* name, const std::string& of) {
  CAIRN_TRY(const json* value, member(object, name, of));
  if (!value->is_array()) return rubbish(fmt::format("\"{}\" of {} is no array", name, of));
  return value;
}

// Many vaults number their versions, so numbers pass as well as text.
Result<std::string> version_in(const json& object, const std::string& of) {
  CAIRN_TRY(const json* value, member(object, "version", of));
  std::string text;
  if (value->is_number_unsigned()) text = std::to_string(value->get<std::uint64_t>());
  if (value->is_string()) text = value->get<std::string>();
  if (!is_vault_version(text))
    return rubbish(fmt::format(
        "\"version\" of {} is not 1 to 128 letters, digits and . _ - : beginning with a letter or digit", of));
  return text;
}

Result<VersionFacts> read_version(const json& entry, const std::string& of) {
  VersionFacts facts;
  CAIRN_TRY(facts.version, version_in(entry, of));
  if (const auto created = entry.find("created"); created != entry.end() && !created->is_null()) {
    if (created->is_string()) facts.created = parse_iso_time(created->get<std::string>());
    if (!facts.created) return rubbish(fmt::format("\"created\" of {} is not a time like 2026-11-21T02:00:00Z", of));
  }
  return facts;
}

Result<KekFacts> read_kek(const json& entry, const std::string& name) {
  const std::string of = "key " + name;
  KekFacts kek;
  kek.name = name;
  CAIRN_TRY(kek.type, text_member(entry, "type", of));
  if (kek.type.size() > kMaxType || !is_file_name(kek.type))
    return rubbish(fmt::format("\"type\" of {} is not a word like RSA-3072", of));
  CAIRN_TRY(const json* versions, array_member(entry, "versions", of));
  std::set<std::string> seen;
  for (const json& version : *versions) {
    CAIRN_TRY(const VersionFacts facts, read_version(version, of));
    if (!seen.insert(facts.version).second) return rubbish(fmt::format("{} has version {} twice", of, facts.version));
    kek.versions.push_back(facts);
  }
  if (kek.versions.empty()) return rubbish(of + " has no version");
  return kek;
}

// The rest of a secret's version; nothing when the answer lacks some of it.
std::optional<SecretVersionFacts> read_bek_facts(const VersionFacts& version, const json& entry) {
  const auto text_of = [&](const char* name) {
    const auto found = entry.find(name);
    return found != entry.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto type = parse_bek_type(text_of("type"));
  SecretVersionFacts facts;
  static_cast<VersionFacts&>(facts) = version;
  facts.kek = text_of("kek");
  facts.kek_version = text_of("kek_version");
  facts.file_name = text_of("file_name");
  if (!type || !is_vault_name(facts.kek) || !is_vault_version(facts.kek_version)) return std::nullopt;
  if (!facts.file_name.empty() && !is_file_name(facts.file_name)) return std::nullopt;
  facts.type = *type;
  return facts;
}

Result<ListedSecret> read_secret(const json& entry, const std::string& name) {
  const std::string of = "secret " + name;
  ListedSecret secret;
  secret.facts.name = name;
  if (!entry.contains("versions")) return secret;
  CAIRN_TRY(const json* versions, array_member(entry, "versions", of));
  std::set<std::string> seen;
  for (const json& version : *versions) {
    CAIRN_TRY(const VersionFacts facts, read_version(version, of));
    if (!seen.insert(facts.version).second) return rubbish(fmt::format("{} has version {} twice", of, facts.version));
    const auto all = read_bek_facts(facts, version);
    secret.newest_known = all.has_value();
    if (all) secret.facts.versions.push_back(*all);
  }
  return secret;
}

// What read(entry, name) makes of every entry of a name that can be Cairn's.
template <class Entry>
Result<std::vector<Entry>> read_all(const json& document, const char* what,
                                    Result<Entry> (*read)(const json&, const std::string&)) {
  std::vector<Entry> all;
  std::set<std::string> seen;
  CAIRN_TRY(const json* entries, array_member(document, what, "the list"));
  for (const json& entry : *entries) {
    CAIRN_TRY(const std::string name, text_member(entry, "name", fmt::format("an entry of \"{}\"", what)));
    if (!is_vault_name(name)) continue;
    if (!seen.insert(name).second) return rubbish(fmt::format("\"{}\" has {} twice", what, name));
    CAIRN_TRY(Entry made, read(entry, name));
    all.push_back(std::move(made));
  }
  return all;
}

Result<VaultList> read_list(const json& document) {
  VaultList list;
  CAIRN_TRY(list.keks, read_all(document, "keys", read_kek));
  CAIRN_TRY(list.secrets, read_all(document, "secrets", read_secret));
  return list;
}

// The document that was printed. Errors: command.failed.
Result<json> parse_output(const SecretCommand& command, const CommandOutput& output) {
  const std::string_view text = as_text(output.bytes.reveal());
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos)
    return command_failed(command, "it printed nothing", output.complaints);
  auto document = parse_json(text);
  if (!document) return command_failed(command, "what it printed is not JSON", output.complaints);
  if (!document->is_object())
    return command_failed(command, "what it printed is JSON and no object", output.complaints);
  return *std::move(document);
}

}  // namespace

bool is_vault_version(std::string_view text) {
  if (text.empty() || text.size() > kMaxVersion || !is_alphanumeric(text.front())) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-' || c == ':'; });
}

Result<VaultList> read_vault_list(const SecretCommand& command, const CommandOutput& output) {
  CAIRN_TRY(const json document, parse_output(command, output));
  auto list = read_list(document);
  if (!list) return command_failed(command, list.error().because, output.complaints);
  return list;
}

Result<StoredBek> read_stored_bek(const SecretCommand& command, const CommandOutput& output,
                                  const std::string& secret) {
  CAIRN_TRY(const json document, parse_output(command, output));
  const bool wrapped = document.contains("bek");
  StoredBek stored;
  CAIRN_TRY(stored.bek, wrapped_bek_from_json(wrapped ? document.at("bek") : document, secret));
  if (!wrapped || !document.contains("version")) {
    stored.version = bek_version(stored.bek);
    return stored;
  }
  auto version = version_in(document, "secret " + secret);
  if (!version) return command_failed(command, version.error().because, output.complaints);
  stored.version = *std::move(version);
  return stored;
}

Result<std::optional<std::string>> read_new_version(const SecretCommand& command, const CommandOutput& output) {
  std::string_view text = as_text(output.bytes.reveal());
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  if (text.empty()) return std::nullopt;
  if (!is_vault_version(text))
    return command_failed(command, "what it printed is no version; it may have stored the secret all the same",
                          output.complaints);
  return std::string(text);
}

std::string bek_version(const WrappedBek& bek) {
  const std::string text = json_text(to_json(bek));
  std::array<std::uint8_t, crypto_generichash_BYTES> hash{};
  crypto_generichash(hash.data(), hash.size(), as_bytes(text).data(), text.size(), nullptr, 0);
  return to_hex(ByteView(hash).first(8));
}

}  // namespace cairn
