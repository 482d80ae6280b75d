// SPDX-License-Identifier: GPL-3.0-or-later
// Units: where bytes lie and how many they are, as two types; and sizes (binary prefixes) and durations as users write
// and read them.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cairn {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;
inline constexpr std::uint64_t kTiB = 1024 * kGiB;

// How many bytes.
class ByteCount {
 public:
  constexpr ByteCount() = default;
  explicit constexpr ByteCount(std::uint64_t bytes) : bytes_(bytes) {}
  [[nodiscard]] constexpr std::uint64_t bytes() const { return bytes_; }
  // For memory: every count that is held in memory fits.
  [[nodiscard]] constexpr std::size_t in_memory() const { return static_cast<std::size_t>(bytes_); }
  auto operator<=>(const ByteCount&) const = default;
  friend constexpr ByteCount operator+(ByteCount a, ByteCount b) { return ByteCount(a.bytes_ + b.bytes_); }

 private:
  std::uint64_t bytes_ = 0;
};

// Where a byte lies in a disk, volume or file: so many bytes from its start. A signature that takes a place and a count
// takes them as ByteOffset and ByteCount, and the compiler sees to it that they are not exchanged.
class ByteOffset {
 public:
  constexpr ByteOffset() = default;
  explicit constexpr ByteOffset(std::uint64_t from_start) : from_start_(from_start) {}
  [[nodiscard]] constexpr std::uint64_t from_start() const { return from_start_; }
  auto operator<=>(const ByteOffset&) const = default;
  friend constexpr ByteOffset operator+(ByteOffset at, ByteCount further) {
    return ByteOffset(at.from_start_ + further.bytes());
  }

 private:
  std::uint64_t from_start_ = 0;
};

// The crossings between the two. How many bytes lie before `end`:
constexpr ByteCount bytes_before(ByteOffset end) {
  return ByteCount(end.from_start());
}
// Where something of `size` bytes ends: the first byte behind it.
constexpr ByteOffset end_of(ByteCount size) {
  return ByteOffset(size.bytes());
}
// From `begin`, which must not lie behind `end`, to `end`.
constexpr ByteCount distance(ByteOffset begin, ByteOffset end) {
  return ByteCount(end.from_start() - begin.from_start());
}

// "64KiB", "4 MiB", "4096" (bytes). Nothing when it is not such a size or does not fit 64 bits.
std::optional<std::uint64_t> parse_size(std::string_view text);
// Three significant digits: "2.50 GiB", "64.0 KiB", "12 B".
std::string format_size(std::uint64_t bytes);

// "90s", "10m", "6h", "14d", "2w". A unit is needed. Nothing when it is not such a duration.
std::optional<std::chrono::seconds> parse_duration(std::string_view text);
// The largest unit that divides it: "6h", "90s".
std::string format_duration(std::chrono::seconds duration);

}  // namespace cairn
