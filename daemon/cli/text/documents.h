// SPDX-License-Identifier: GPL-3.0-or-later
// Documents: reading JSON that may lack a member or have another type, without exceptions. For the .cpp files here.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "config/base/clock.h"
#include "config/base/units.h"

namespace cairn::cli {

inline const nlohmann::json& member(const nlohmann::json& document, const char* name) {
  static const nlohmann::json kNull;
  if (!document.is_object()) return kNull;
  const auto found = document.find(name);
  return found == document.end() ? kNull : *found;
}
// Empty when it is missing, null or no text.
inline std::string text_of(const nlohmann::json& document, const char* name) {
  const nlohmann::json& value = member(document, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}
inline std::uint64_t number_of(const nlohmann::json& document, const char* name) {
  const nlohmann::json& value = member(document, name);
  return value.is_number_unsigned() || (value.is_number_integer() && value.get<std::int64_t>() > 0)
             ? value.get<std::uint64_t>()
             : 0;
}
inline bool flag_of(const nlohmann::json& document, const char* name) {
  const nlohmann::json& value = member(document, name);
  return value.is_boolean() && value.get<bool>();
}
// Empty when there is no such number.
inline std::string size_of(const nlohmann::json& document, const char* name) {
  return member(document, name).is_number() ? format_size(number_of(document, name)) : std::string();
}
// [OFFSET,SIZE] as "1114112-1179647", first and last byte; empty when it is none.
inline std::string bytes_of(const nlohmann::json& range) {
  if (!range.is_array() || range.size() != 2 || !range[0].is_number_integer() || !range[1].is_number_integer())
    return {};
  const auto offset = range[0].get<std::uint64_t>();
  return std::to_string(offset) + "-" + std::to_string(offset + range[1].get<std::uint64_t>() - 1);
}
// 2026-11-21T02:00:00Z as "2026-11-21 02:00:00Z".
inline std::string time_of(const nlohmann::json& document, const char* name) {
  std::string text = text_of(document, name);
  if (text.size() != 20) return text;
  text[10] = ' ';
  return text;
}
// Nothing when there is no such time.
inline std::optional<std::chrono::seconds> since(const nlohmann::json& document, const char* name, UtcTime now) {
  const auto time = parse_iso_time(text_of(document, name));
  if (!time) return std::nullopt;
  return now - *time;
}

}  // namespace cairn::cli
