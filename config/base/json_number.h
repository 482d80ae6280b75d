// SPDX-License-Identifier: GPL-3.0-or-later
// Whole numbers out of JSON that somebody else may have written. nlohmann's get<int>() converts silently: it cuts what
// is too large, and a float beyond the range is undefined behaviour.
#pragma once

#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

namespace cairn {

// Throws nlohmann::json::out_of_range (an nlohmann::json::exception) when `value` is no integer, or none that T holds.
// "5.0" is no integer.
template <std::integral T>
T whole_number(const nlohmann::json& value) {
  if (value.is_number_unsigned()) {
    if (const auto number = value.get<std::uint64_t>(); std::in_range<T>(number)) return static_cast<T>(number);
  } else if (value.is_number_integer()) {
    if (const auto number = value.get<std::int64_t>(); std::in_range<T>(number)) return static_cast<T>(number);
  }
  throw nlohmann::json::out_of_range::create(406, "not a whole number of the size that is expected here", &value);
}

}  // namespace cairn
