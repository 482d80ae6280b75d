// SPDX-License-Identifier: GPL-3.0-or-later
// The words that documents have for the values of an enum: one table, read in both directions.
//   constexpr EnumWords<Colour, 2> kColours{{{Colour::red, "red"}, {Colour::blue, "blue"}}};
// Pure.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace cairn {

template <class Value, std::size_t N>
using EnumWords = std::array<std::pair<Value, std::string_view>, N>;

template <class Value, std::size_t N>
constexpr std::string_view word_of(const EnumWords<Value, N>& words, Value value) {
  for (const auto& [known, word] : words)
    if (known == value) return word;
  return {};
}

// Nothing: it is none of the words.
template <class Value, std::size_t N>
constexpr std::optional<Value> value_of_word(const EnumWords<Value, N>& words, std::string_view text) {
  for (const auto& [value, word] : words)
    if (word == text) return value;
  return std::nullopt;
}

}  // namespace cairn
