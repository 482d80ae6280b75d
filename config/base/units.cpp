// SPDX-License-Identifier: GPL-3.0-or-later
#include "config/base/units.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

namespace cairn {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
constexpr Unit kSizeUnits[] = {{"KiB", kKiB}, {"MiB", kMiB}, {"GiB", kGiB}, {"TiB", kTiB}, {"B", 1}, {"", 1}};
constexpr Unit kDurationUnits[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"w", 7 * 86400}};

// NUMBER [SPACE] UNIT, exactly.
template <std::size_t N>
std::optional<std::uint64_t> parse_number_with_unit(std::string_view text, const Unit (&units)[N],
                                                    std::uint64_t limit) {
  std::uint64_t number = 0;
  const auto [rest, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{}) return std::nullopt;
  std::string_view unit_name(rest, static_cast<std::size_t>(text.data() + text.size() - rest));
  if (unit_name.size() > 1 && unit_name.front() == ' ') unit_name.remove_prefix(1);
  for (const Unit& unit : units) {
    if (unit.name != unit_name) continue;
    if (number > limit / unit.factor) return std::nullopt;
    return number * unit.factor;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
  return parse_number_with_unit(text, kSizeUnits, std::numeric_limits<std::uint64_t>::max());
}

std::string format_size(std::uint64_t bytes) {
  if (bytes < kKiB) return fmt::format("{} B", bytes);
  static constexpr std::string_view kNames[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(kNames)) {
    value /= 1024;
    ++unit;
  }
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}", value, decimals, kNames[unit]);
}

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  static constexpr std::uint64_t kHundredYears = 36525ULL * 86400;
  const auto seconds = parse_number_with_unit(text, kDurationUnits, kHundredYears);
  if (!seconds) return std::nullopt;
  return std::chrono::seconds(static_cast<std::int64_t>(*seconds));
}

std::string format_duration(std::chrono::seconds duration) {
  const std::int64_t seconds = duration.count();
  if (seconds == 0) return "0s";
  static constexpr std::pair<std::int64_t, char> kUnits[] = {{7 * 86400, 'w'}, {86400, 'd'}, {3600, 'h'}, {60, 'm'}};
  for (const auto& [factor, letter] : kUnits)
    if (seconds % factor == 0) return fmt::format("{}{}", seconds / factor, letter);
  return fmt::format("{}s", seconds);
}

}  // namespace cairn
