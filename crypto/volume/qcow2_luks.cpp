// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/volume/qcow2_luks.h"

#include <algorithm>

#include "crypto/volume/probe_budget.h"
#include "crypto/volume/volume_source.h"

#include "config/base/big_endian.h"

namespace cairn {
namespace {

// QEMU, docs/interop/qcow2.txt: the header's length at 100 (version 3), the extensions after it: type and length of 32
// bits each, then the data, padded to 8 bytes.
constexpr std::size_t kLookedAt = 64 * 1024;  // the header and its extensions lie in the first cluster
constexpr std::size_t kVersion2Header = 72;
constexpr std::uint32_t kCryptoHeader = 0x0537be77;  // offset and length of the LUKS header, 64 bits each
constexpr std::uint32_t kMethodLuks = 2;

// Nothing: it has none.
std::optional<ByteRange> crypto_header(ByteView start) {
  if (start.size() < 104 || as_text(start.first(4)) != "QFI\xfb") return std::nullopt;
  if (get_be<std::uint32_t>(start, 32) != kMethodLuks) return std::nullopt;
  std::size_t at = get_be<std::uint32_t>(start, 4) >= 3 ? get_be<std::uint32_t>(start, 100) : kVersion2Header;
  while (at < start.size() && start.size() - at >= 8) {
    const auto type = get_be<std::uint32_t>(start, at);
    const std::size_t size = get_be<std::uint32_t>(start, at + 4);
    at += 8;
    if (type == 0 || size > start.size() - at) return std::nullopt;
    if (type == kCryptoHeader && size >= 16)
      return ByteRange{get_be<std::uint64_t>(start, at), get_be<std::uint64_t>(start, at + 8)};
    at += (size + 7) / 8 * 8;
  }
  return std::nullopt;
}

}  // namespace

Result<std::optional<VolumeFacts>> probe_qcow2_luks(ByteSource& file, const std::string& object,
                                                    std::vector<std::string>& remarks) {
  Buffer start(static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), kLookedAt)));
  CAIRN_CHECK(file.read(0, start));
  const auto header = crypto_header(start);
  if (!header) return std::nullopt;
  if (header->offset >= file.size() || header->size == 0) {
    remarks.emplace_back("the header of its encryption lies beyond the end of the file");
    return std::nullopt;
  }
  BudgetedSource bounded(file, {});
  VolumeSource source{bounded, 0, {header->offset, file.size() - header->offset}, object, kWithinQcow2};
  source.is_header_file = true;  // where its data lie, the format's own tables say
  return probe_luks(source, remarks);
}

}  // namespace cairn
