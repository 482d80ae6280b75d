// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/volume/luks_json.h"

#include <fmt/format.h>

namespace cairn {

std::string luks2_json_excess(ByteView copy) {
  constexpr std::size_t kBinaryPart = 4096;
  // 32 key slots, digests and tokens come to some 2000; libcryptsetup compares segments with each other.
  constexpr std::size_t kMostValues = 16 * 1024;
  constexpr std::size_t kDeepest = 32;
  if (copy.size() <= kBinaryPart) return {};
  std::size_t values = 0;
  std::size_t depth = 0;
  for (const std::uint8_t byte : copy.subspan(kBinaryPart)) {
    if (byte == 0) break;  // the text ends here
    if (byte == ',' || byte == ':' || byte == '{' || byte == '[') ++values;
    if ((byte == '{' || byte == '[') && ++depth > kDeepest)
      return fmt::format("its JSON is nested more than {} deep, as no honest header is; it was not read", kDeepest);
    if ((byte == '}' || byte == ']') && depth > 0) --depth;
    if (values > kMostValues)
      return fmt::format("its JSON has more than {} values, as no honest header has; it was not read", kMostValues);
  }
  return {};
}

}  // namespace cairn
