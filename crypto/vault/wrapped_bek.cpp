// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/wrapped_bek.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "config/base/text.h"
#include "crypto/base64.h"

namespace cairn {
namespace {

using nlohmann::json;
constexpr std::string_view kFormat = "cairn-wrapped-bek";
constexpr std::uint64_t kVersion = 1;
// A vault's command may wrap into text, which is longer.
constexpr std::size_t kMaxWrappedBytes = kMaxBekBytes / 2 * 3;
constexpr std::size_t kMaxWordBytes = 128;
constexpr std::size_t kMaxFileNameBytes = 255;
constexpr std::array<const char*, 9> kMembers = {"format",      "version",   "type",    "file_name", "kek",
                                                 "kek_version", "algorithm", "wrapped", "created"};

bool is_plain_text(std::string_view text) {
  return is_utf8(text) && std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}
// What names versions and algorithms.
bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= kMaxWordBytes && is_plain_text(text);
}
// It may become a file's name when keys are exported.
bool is_imported_name(std::string_view name) {
  return name.empty() || (name.size() <= kMaxFileNameBytes && is_plain_text(name) && !name.contains('/') &&
                          name != "." && name != "..");
}

}  // namespace

bool WrappedBek::operator==(const WrappedBek& other) const {
  return type == other.type && file_name == other.file_name && kek == other.kek &&
         wrapped.version == other.wrapped.version && wrapped.algorithm == other.wrapped.algorithm &&
         wrapped.bytes == other.wrapped.bytes && created == other.created;
}

json to_json(const WrappedBek& bek) {
  return {{"format", kFormat},
          {"version", kVersion},
          {"type", to_string(bek.type)},
          {"file_name", bek.file_name},
          {"kek", bek.kek},
          {"kek_version", bek.wrapped.version},
          {"algorithm", bek.wrapped.algorithm},
          {"wrapped", to_base64(bek.wrapped.bytes)},
          {"created", iso_time(bek.created)}};
}

Result<WrappedBek> wrapped_bek_from_json(const json& document, const std::string& object) {
  const auto damaged = [&](std::string because, std::string resolution = {}) {
    return fail(ErrorCode::secret_damaged, "read wrapped BEK", object, std::move(because), std::move(resolution));
  };
  const auto read = [&]() -> Result<WrappedBek> {
    if (!document.is_object() || document.value("format", json()) != kFormat)
      return damaged("it is not a document of format " + std::string(kFormat));
    const json& version = document.at("version");
    if (!version.is_number_unsigned()) return damaged("its version is not a number");
    if (whole_number<std::uint64_t>(version) != kVersion)
      return damaged("it has version " + json_text(version) + ", this version of Cairn knows version 1",
                     "use a newer version of Cairn");
    for (const auto& [member, value] : document.items())
      if (std::ranges::find(kMembers, member) == kMembers.end()) return damaged("it has a member that none has");
    const auto text = [&](const char* member) -> const std::string& {
      return document.at(member).get_ref<const std::string&>();
    };

    WrappedBek bek;
    const auto type = parse_bek_type(text("type"));
    if (!type) return damaged("its type is none that this version knows");
    bek.type = *type;
    bek.file_name = text("file_name");
    if (!is_imported_name(bek.file_name)) return damaged("its file_name is no file name");
    bek.kek = text("kek");
    if (!is_vault_name(bek.kek)) return damaged("its kek is no name of a key");
    bek.wrapped.version = text("kek_version");
    bek.wrapped.algorithm = text("algorithm");
    if (!is_word(bek.wrapped.version) || !is_word(bek.wrapped.algorithm))
      return damaged("its kek_version or algorithm is empty, over 128 characters, or no text");
    const std::string& encoded = text("wrapped");
    if (encoded.size() > (kMaxWrappedBytes + 2) / 3 * 4) return damaged("it has more wrapped bytes than any BEK makes");
    auto bytes = from_base64(encoded);
    if (!bytes || bytes->empty()) return damaged("its wrapped bytes are not base64, or there are none");
    if (bytes->size() > kMaxWrappedBytes) return damaged("it has more wrapped bytes than any BEK makes");
    bek.wrapped.bytes = *std::move(bytes);
    const auto created = parse_iso_time(text("created"));
    if (!created) return damaged("its time is not a time");
    bek.created = *created;
    return bek;
  };
  return read_document(read, [&](const std::string&) { return damaged("it does not have the form it must have"); });
}

}  // namespace cairn
