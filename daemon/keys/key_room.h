// SPDX-License-Identifier: GPL-3.0-or-later
// KeyRoom: whether the keys of all disks of a machine fit into the document of its recovery point, which has a bound.
// Known before anything is read of the disks. One thread at a time.
#pragma once

#include <cstdint>
#include <string>

#include "config/base/result.h"
#include "daemon/keys/key_rules.h"
#include "fs/store/point/point_file.h"

namespace cairn {

// Of a point's document, for the keys; the rest is for disks, headers and the machine's definition. Bytes.
inline constexpr std::uint64_t kMostKeyBytes = kMaxPointBytes - std::uint64_t{8} * 1024 * 1024;

class KeyRoom {
 public:
  // Counts the keys of one more disk, `object`. Errors: keys_too_large; then they are not counted.
  Result<void> take(const GatheredKeys& keys, const std::string& object);

 private:
  std::uint64_t taken_ = 0;
};

}  // namespace cairn
