// SPDX-License-Identifier: GPL-3.0-or-later
#include "config/base/json.h"

#include <nlohmann/json.hpp>

namespace cairn {
namespace {

using nlohmann::json;

// Brackets within texts do not count. Where this loses its way the text is not JSON, and the parser stops there too.
bool nests_deeper(std::string_view text, int deepest) {
  int depth = 0;
  bool within_text = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (within_text && c == '\\')
      ++i;
    else if (c == '"')
      within_text = !within_text;
    else if (!within_text && (c == '[' || c == '{') && ++depth > deepest)
      return true;
    else if (!within_text && (c == ']' || c == '}'))
      --depth;
  }
  return false;
}

template <class Document>
std::string text_of(const Document& document, JsonForm form) {
  const bool pretty = form == JsonForm::pretty || form == JsonForm::pretty_ascii;
  const bool ascii = form == JsonForm::compact_ascii || form == JsonForm::pretty_ascii;
  std::string text = document.dump(pretty ? 2 : -1, ' ', ascii, Document::error_handler_t::replace);
  if (pretty) text += '\n';
  return text;
}

[[noreturn]] void refuse_number(const json& value) {
  throw json::out_of_range::create(406, "not a whole number of the size that is expected here", &value);
}

}  // namespace

std::string JsonFault::text() const {
  switch (kind) {
    case Kind::too_long:
      return "is too long";
    case Kind::too_deep:
      return "nests too deep";
    case Kind::number_too_large:
      return "has a number that is too large";
    case Kind::not_json:
      break;
  }
  return "is not JSON, from byte " + std::to_string(byte) + " on";
}

std::expected<json, JsonFault> parse_json(std::string_view text, JsonBounds bounds) {
  using enum JsonFault::Kind;
  if (text.size() > bounds.bytes) return std::unexpected(JsonFault{too_long});
  if (nests_deeper(text, bounds.depth)) return std::unexpected(JsonFault{too_deep});
  try {
    return json::parse(text);
  } catch (const json::parse_error& problem) {
    return std::unexpected(JsonFault{not_json, problem.byte});
  } catch (const json::out_of_range&) {
    return std::unexpected(JsonFault{number_too_large});  // 1e999 is no syntax error to the parser
  }
}

std::string json_text(const json& document, JsonForm form) {
  return text_of(document, form);
}

std::string json_text(const nlohmann::ordered_json& document, JsonForm form) {
  return text_of(document, form);
}

std::optional<std::string> problem_of_reading(const std::function<void()>& read) {
  try {
    read();
    return std::nullopt;
  } catch (const json::exception& problem) {
    return problem.what();
  } catch (const BadDocument& problem) {
    return problem.because;
  }
}

std::int64_t signed_number(const json& value, std::int64_t least, std::int64_t most) {
  if (value.is_number_unsigned()) {
    if (const auto number = value.get<std::uint64_t>(); std::cmp_less_equal(number, most))
      return static_cast<std::int64_t>(number);
  } else if (value.is_number_integer()) {
    if (const auto number = value.get<std::int64_t>(); number >= least && number <= most) return number;
  }
  refuse_number(value);
}

std::uint64_t unsigned_number(const json& value, std::uint64_t most) {
  if (value.is_number_unsigned()) {
    if (const auto number = value.get<std::uint64_t>(); number <= most) return number;
  } else if (value.is_number_integer()) {
    const auto number = value.get<std::int64_t>();
    if (number >= 0 && std::cmp_less_equal(number, most)) return static_cast<std::uint64_t>(number);
  }
  refuse_number(value);
}

}  // namespace cairn
