// SPDX-License-Identifier: GPL-3.0-or-later
// VolumeSource and HeaderCopy: reading header areas, and the memfd (memfd_create(2)) that takes the disk's place.
#include "crypto/volume/volume_source.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "config/base/text.h"

namespace cairn {

namespace {

// A file offset is signed: larger disks than this do not exist, and tmpfs would refuse the size.
constexpr std::uint64_t kLargestFile = std::numeric_limits<std::int64_t>::max() / 2;

void append_utf8(std::string& to, std::uint32_t point) {
  const auto put = [&](std::uint32_t byte) { to.push_back(static_cast<char>(byte)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | (point >> 6));
    put(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    put(0xE0 | (point >> 12));
    put(0x80 | ((point >> 6) & 0x3F));
    put(0x80 | (point & 0x3F));
  } else {
    put(0xF0 | (point >> 18));
    put(0x80 | ((point >> 12) & 0x3F));
    put(0x80 | ((point >> 6) & 0x3F));
    put(0x80 | (point & 0x3F));
  }
}

}  // namespace

Result<Buffer> VolumeSource::read(ByteOffset offset, ByteCount size) const {
  const ByteOffset end = end_of(ByteCount(place.size));
  if (offset >= end) return Buffer{};
  Buffer bytes(std::min(size, distance(offset, end)).in_memory());
  CAIRN_CHECK(disk.read(place.offset + offset.from_start(), bytes));
  return bytes;
}

std::string VolumeSource::name() const {
  std::string name = volume_name(partition, within);
  return name.empty() ? "the disk" : name;
}

Result<HeaderCopy> HeaderCopy::make(std::uint64_t size, const std::string& object) {
  HeaderCopy copy;
  copy.object_ = object;
  copy.fd_ = UniqueFd(::memfd_create("cairn-header", MFD_CLOEXEC));
  if (!copy.fd_ || ::ftruncate(copy.fd_.get(), static_cast<off_t>(std::min(size, kLargestFile))) != 0)
    return fail_errno(errno, "copy the volume header of", object);
  if (::access(copy.path().c_str(), F_OK) != 0)
    return fail(ErrorCode::no_proc, "copy the volume header of", object, "libcryptsetup opens it by way of /proc");
  return copy;
}

HeaderCopy HeaderCopy::adopt(UniqueFd fd, const std::string& object) {
  HeaderCopy copy;
  copy.object_ = object;
  copy.fd_ = std::move(fd);
  return copy;
}

Result<void> HeaderCopy::fill(std::uint64_t offset, ByteView bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t wrote =
        ::pwrite(fd_.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return fail_errno(errno, "copy the volume header of", object_);
    done += static_cast<std::size_t>(wrote);
  }
  return {};
}

Result<void> HeaderCopy::put(std::uint64_t offset, Buffer bytes) {
  CAIRN_CHECK(fill(offset, bytes));
  pieces_.push_back({offset, std::move(bytes)});
  return {};
}

bool HeaderCopy::unchanged(ByteOffset offset, ByteCount size) const {
  for (const Piece& piece : pieces_) {
    const std::uint64_t from = std::max(offset.from_start(), piece.offset);
    const std::uint64_t to = std::min((offset + size).from_start(), piece.offset + piece.bytes.size());
    if (from >= to) continue;
    Buffer now(static_cast<std::size_t>(to - from));
    const ssize_t got = ::pread(fd_.get(), now.data(), now.size(), static_cast<off_t>(from));
    if (got != static_cast<ssize_t>(now.size())) return false;
    if (!std::equal(now.begin(), now.end(), piece.bytes.begin() + static_cast<std::ptrdiff_t>(from - piece.offset)))
      return false;
  }
  return true;
}

std::string HeaderCopy::path() const {
  return fmt::format("/proc/self/fd/{}", fd_.get());
}

VolumeFacts facts_of(const VolumeSource& source, VolumeType type) {
  VolumeFacts facts;
  facts.type = type;
  facts.partition = source.partition;
  facts.within = source.within;
  facts.place = source.place;
  return facts;
}

void add_damage(VolumeFacts& facts, const std::string& words) {
  if (words.empty()) return;
  if (!facts.damage.empty()) facts.damage += "; ";
  facts.damage += words;
}

std::string printable(std::string_view text) {
  text = text.substr(0, text.find('\0'));
  std::string clean;
  while (!text.empty()) {
    const auto first = static_cast<unsigned char>(text.front());
    const bool is_control = first < 0x20 || first == 0x7F;
    const std::size_t length = is_control ? 0 : utf8_length(text);
    if (length == 0)
      clean.push_back('?');
    else
      clean.append(text.substr(0, length));
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return clean;
}

std::string printable_utf16(ByteView bytes) {
  std::string text;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
    std::uint32_t unit = get_le<std::uint16_t>(bytes.subspan(i));
    if (unit >= 0xD800 && unit < 0xDC00 && i + 3 < bytes.size()) {
      const std::uint32_t low = get_le<std::uint16_t>(bytes.subspan(i + 2));
      if (low >= 0xDC00 && low < 0xE000) {
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        i += 2;
      }
    }
    if (unit >= 0xD800 && unit < 0xE000) unit = '?';
    append_utf8(text, unit);
  }
  return printable(text);
}

}  // namespace cairn
