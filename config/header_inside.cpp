// SPDX-License-Identifier: GPL-3.0-or-later
// HeaderInside: where a detached header lies on its own disk. settings.h.
#include <fmt/core.h>

#include <charconv>

#include "config/settings.h"

namespace cairn {
namespace {

constexpr std::string_view kForm = "partition:";
constexpr std::size_t kLongestPath = 4095;
constexpr std::size_t kLongestName = 255;

bool is_plain_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= kLongestName;
}

}  // namespace

std::string HeaderInside::text() const {
  return fmt::format("{}{}{}", kForm, partition, path);
}

std::optional<HeaderInside> parse_header_inside(std::string_view text) {
  if (!text.starts_with(kForm)) return std::nullopt;
  text.remove_prefix(kForm.size());
  HeaderInside place;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), place.partition);
  if (error != std::errc() || place.partition == 0 || text.front() == '0') return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (!text.starts_with('/') || text.size() > kLongestPath || text.find('\0') != std::string_view::npos)
    return std::nullopt;
  place.path = text;
  for (std::string_view rest = text.substr(1);; rest.remove_prefix(rest.find('/') + 1)) {
    if (!is_plain_name(rest.substr(0, rest.find('/')))) return std::nullopt;
    if (rest.find('/') == std::string_view::npos) return place;
  }
}

}  // namespace cairn
