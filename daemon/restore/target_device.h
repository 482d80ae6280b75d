// SPDX-License-Identifier: GPL-3.0-or-later
// TargetDevice: a block device or image file held for writing some of it: opened once, so that nothing can be put in
// its place meanwhile, and for nobody else to write to. One thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "config/base/bytes.h"
#include "config/base/result.h"
#include "config/base/unique_fd.h"
#include "config/base/units.h"

namespace cairn {

// How errors say what is being done.
inline constexpr const char* kRestoringHeader = "restore the header to";

class TargetDevice {
 public:
  // Block devices are opened with O_EXCL: not while they, or partitions of them, are mounted or mapped. Files get a
  // write lock (F_OFD_SETLK) on all their bytes, which QEMU's locks of a running machine's image exclude.
  // On the way only links of root and of this user are followed: nobody else may choose what is overwritten.
  // Errors: image_missing, image_not_a_disk, image_in_use, permission_denied, wrong_file_type (somebody else's link),
  // io_error.
  static Result<TargetDevice> open(const std::filesystem::path& path);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }  // bytes
  [[nodiscard]] int fd() const { return fd_.get(); }

  // Fills `to`; from the device itself, not from memory, after sync(). Errors: io_error.
  Result<void> read(std::uint64_t offset, MutableBytes to) const;
  // `written` is how many bytes of it are, also when it fails. Errors: no_space, io_error.
  Result<void> write(ByteOffset offset, ByteView bytes, ByteCount& written);
  // Errors: io_error.
  Result<void> sync();

 private:
  TargetDevice() = default;
  UniqueFd fd_;
  std::string path_;
  std::uint64_t size_ = 0;
};

}  // namespace cairn
