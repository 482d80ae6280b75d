// SPDX-License-Identifier: GPL-3.0-or-later
// Bytes: the views and buffers that all floors share, and little-endian integers in them.
// Every integer that Cairn puts on disk is little-endian. Any thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn {

using Buffer = std::vector<std::uint8_t>;

// Memory on pages, as direct reads and writes want it (open(2), O_DIRECT), and not zeroed: resize() leaves new bytes as
// they are.
template <class Byte>
struct BulkAllocator {
  using value_type = Byte;
  static constexpr std::align_val_t kPage{4096};
  BulkAllocator() = default;
  template <class Other>
  BulkAllocator(const BulkAllocator<Other>& /*same*/) noexcept {}
  [[nodiscard]] Byte* allocate(std::size_t count) { return static_cast<Byte*>(::operator new(count, kPage)); }
  void deallocate(Byte* bytes, std::size_t count) noexcept { ::operator delete(bytes, count, kPage); }
  template <class Other, class... Arguments>
  void construct(Other* at, Arguments&&... arguments) {
    if constexpr (sizeof...(Arguments) == 0)
      ::new (static_cast<void*>(at)) Other;
    else
      ::new (static_cast<void*>(at)) Other(std::forward<Arguments>(arguments)...);
  }
  bool operator==(const BulkAllocator&) const = default;
};
using BulkBuffer = std::vector<std::uint8_t, BulkAllocator<std::uint8_t>>;
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
template <class Integer, class Bytes>
void append_le(Bytes& to, Integer value) {
  const std::size_t at = to.size();
  to.resize(at + sizeof(Integer));
  put_le(MutableBytes(to).subspan(at), value);
}
template <class Bytes>
void append(Bytes& to, ByteView more) {
  const std::size_t at = to.size();
  to.resize(at + more.size());
  if (!more.empty()) std::memcpy(to.data() + at, more.data(), more.size());
}

// True when every byte is zero. Reads about as fast as memory; an empty view is all zero.
bool is_all_zero(ByteView bytes);

// Lower-case hexadecimal.
std::string to_hex(ByteView bytes);
// Nothing when `text` has an odd length or another character than 0-9 a-f A-F.
std::optional<Buffer> from_hex(std::string_view text);

// A GUID as Windows stores it (16 bytes, the first three fields little-endian) in text, lower-case.
std::string guid_text(ByteView guid);

}  // namespace cairn
