// SPDX-License-Identifier: GPL-3.0-or-later
// ByteSource: what can be read at any byte: all that looking for volumes and partitions on a disk takes. An image file,
// a block device, a disk in memory, one that a server keeps: whoever can read at an offset can be probed.
#pragma once

#include <cstdint>

#include "config/base/bytes.h"
#include "config/base/result.h"

namespace cairn {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Bytes; never changes.
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  // Fills all of `to` from `offset`; asked only for what lies inside size(). Errors are the source's own and name it.
  virtual Result<void> read(std::uint64_t offset, MutableBytes to) = 0;
  // The sectors that the disk says it has, bytes. An image file says nothing of them: 512.
  [[nodiscard]] virtual unsigned sector_bytes() const { return 512; }
};

}  // namespace cairn
