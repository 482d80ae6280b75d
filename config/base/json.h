// SPDX-License-Identifier: GPL-3.0-or-later
// JSON: text to documents and back, and reading a document's members. Nothing else parses or writes JSON, so that what
// a document may weigh, how deep it may nest and what becomes of bytes that are not UTF-8 is decided once, and so that
// nlohmann's parser and serializer are compiled once. Pure. Any thread.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace cairn {

// What a text may be. More is refused before it is parsed: deep nesting would overflow the stack of who walks it.
struct JsonBounds {
  std::size_t bytes = std::size_t{256} * 1024 * 1024;
  int depth = 64;  // arrays and objects within each other
};

// Why a text is no document.
struct JsonFault {
  enum class Kind { too_long, too_deep, not_json, number_too_large };
  Kind kind = Kind::not_json;
  std::size_t byte = 0;  // not_json: where it stops being JSON, counted from 1

  // Goes on after "it", "the body", a file's name: "is not JSON, from byte 7 on", "has a number that is too large".
  [[nodiscard]] std::string text() const;
};

std::expected<nlohmann::json, JsonFault> parse_json(std::string_view text, JsonBounds bounds = {});

enum class JsonForm {
  compact,        // one line, without blanks or a line's end
  pretty,         // for people: indented by two, with a line's end
  compact_ascii,  // what is not ASCII is escaped: what a MAC covers is the same bytes everywhere
  pretty_ascii,
};

// Bytes that are no UTF-8 (a label on a disk may hold any) become U+FFFD; never fails.
std::string json_text(const nlohmann::json& document, JsonForm form = JsonForm::compact);
// Members keep the order in which they were put in.
std::string json_text(const nlohmann::ordered_json& document, JsonForm form = JsonForm::compact);

// Thrown by what runs in read_document() only: the document is JSON, and not what it must be.
struct BadDocument {
  std::string because;
};

// Runs `read`; what stops it (a BadDocument, or nlohmann's exceptions: a member is missing, or of another type) is why.
std::optional<std::string> problem_of_reading(const std::function<void()>& read);

// The door for who reads members with at() and get(): what `read()` returns, a Result, or what `damaged(because)` makes
// of what stopped it.
template <class Read, class Damaged>
auto read_document(Read read, Damaged damaged) -> decltype(read()) {
  std::optional<decltype(read())> result;
  if (auto because = problem_of_reading([&] { result.emplace(read()); })) return damaged(*std::move(because));
  return *std::move(result);
}

// The number in `value` when it is an integer from `least` to `most`; else throws nlohmann::json::out_of_range. Use
// whole_number().
std::int64_t signed_number(const nlohmann::json& value, std::int64_t least, std::int64_t most);
std::uint64_t unsigned_number(const nlohmann::json& value, std::uint64_t most);

// For numbers that somebody else may have written: nlohmann's get<int>() cuts what is too large without a word, and of
// a float beyond the range it is undefined behaviour. Throws nlohmann::json::out_of_range when `value` is no integer
// ("5.0" is none), or none that T holds.
template <std::integral T>
T whole_number(const nlohmann::json& value) {
  using Limits = std::numeric_limits<T>;
  if constexpr (std::signed_integral<T>)
    return static_cast<T>(signed_number(value, Limits::min(), Limits::max()));
  else
    return static_cast<T>(unsigned_number(value, Limits::max()));
}

}  // namespace cairn
