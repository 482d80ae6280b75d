// SPDX-License-Identifier: GPL-3.0-or-later
// Big-endian integers in the formats of others: LUKS, qcow2, VHD, XFS. Cairn's own are little-endian (bytes.h). Pure.
#pragma once

#include <cstddef>

#include "config/base/bytes.h"

namespace cairn {

// The integer at `at`, of which all bytes must be there.
template <class Integer>
Integer get_be(ByteView bytes, std::size_t at) {
  Integer value = 0;
  for (std::size_t i = 0; i < sizeof(Integer); ++i) value = static_cast<Integer>((value << 8U) | bytes[at + i]);
  return value;
}

}  // namespace cairn
