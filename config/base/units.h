// SPDX-License-Identifier: GPL-3.0-or-later
// Units as users write and read them: sizes in bytes (binary prefixes) and durations.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cairn {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;
inline constexpr std::uint64_t kTiB = 1024 * kGiB;

// "64KiB", "4 MiB", "4096" (bytes). Nothing when it is not such a size or does not fit 64 bits.
std::optional<std::uint64_t> parse_size(std::string_view text);
// Three significant digits: "2.50 GiB", "64.0 KiB", "12 B".
std::string format_size(std::uint64_t bytes);

// "90s", "10m", "6h", "14d", "2w". A unit is needed. Nothing when it is not such a duration.
std::optional<std::chrono::seconds> parse_duration(std::string_view text);
// The largest unit that divides it: "6h", "90s".
std::string format_duration(std::chrono::seconds duration);

}  // namespace cairn
