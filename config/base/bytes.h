// Bytes: the views and buffers that all floors share, and little-endian integers in them.
// Every integer that Cairn puts on disk is little-endian. Any thread.
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

using Buffer = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

// A part of a disk or file, in bytes.
struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  bool operator==(const ByteRange&) const = default;
};

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Writes `value` at the start of `to`, which must be large enough.
template <class Integer>
void put_le(MutableBytes to, Integer value) {
  for (std::size_t i = 0; i < sizeof(Integer); ++i)
    to[i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i));
}
// Reads an integer from the start of `from`, which must be large enough.
template <class Integer>
Integer get_le(ByteView from) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(Integer); ++i) value |= static_cast<std::uint64_t>(from[i]) << (8 * i);
  return static_cast<Integer>(value);
}
template <class Integer>
void append_le(Buffer& to, Integer value) {
  const std::size_t at = to.size();
  to.resize(at + sizeof(Integer));
  put_le(MutableBytes(to).subspan(at), value);
}
inline void append(Buffer& to, ByteView more) {
  to.insert(to.end(), more.begin(), more.end());
}

// True when every byte is zero. Reads about as fast as memory; an empty view is all zero.
bool is_all_zero(ByteView bytes);

// Lower-case hexadecimal.
std::string to_hex(ByteView bytes);
// Nothing when `text` has an odd length or another character than 0-9 a-f A-F.
std::optional<Buffer> from_hex(std::string_view text);

}  // namespace cairn
