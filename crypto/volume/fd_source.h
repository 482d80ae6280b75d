// SPDX-License-Identifier: GPL-3.0-or-later
// FdSource: a descriptor as a ByteSource: an image file, a block device or a memfd that is open for reading.
// Any thread.
#pragma once

#include <string>

#include "config/base/byte_source.h"

namespace cairn {

class FdSource final : public ByteSource {
 public:
  // Borrows `fd`, of which `size` bytes are read. `object` names it in errors.
  FdSource(int fd, std::uint64_t size, std::string object) : fd_(fd), size_(size), object_(std::move(object)) {}

  [[nodiscard]] std::uint64_t size() const override { return size_; }
  // Errors: io_error, also where the file has become shorter than size().
  Result<void> read(std::uint64_t offset, MutableBytes to) override;
  // Of a block device (ioctl BLKSSZGET); 512 for all else.
  [[nodiscard]] unsigned sector_bytes() const override;

 private:
  int fd_;
  std::uint64_t size_;
  std::string object_;
};

}  // namespace cairn
