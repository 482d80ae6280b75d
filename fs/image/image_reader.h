// Images: the disks of machines as the backup reads them: raw files and block devices, holes skipped.
// Tests replace ImageReader.
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "config/base/bytes.h"
#include "config/base/result.h"

namespace cairn {

// A run of the disk that holds data, or one that is a hole. Bytes.
struct ImageExtent {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  bool data = true;
};

class ImageReader {
 public:
  virtual ~ImageReader() = default;
  // Bytes; what it was when opened.
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  // What lies at `offset` (< size()), up to where that changes or the disk ends. Holes read as zeros.
  virtual Result<ImageExtent> extent_at(std::uint64_t offset) = 0;
  // Fills all of `to` from `offset`. Errors: image_shrank, image_unreadable. Any thread, several at once: whoever wants
  // the disk kept busy has several reads under way.
  virtual Result<void> read(std::uint64_t offset, MutableBytes to) = 0;
  // For probing only; open for reading. -1 when there is none.
  [[nodiscard]] virtual int fd() const = 0;
  // Words for a warning when the disk changed while it was being read, nothing when it surely did not
  // (a clone cannot change). Call after the last read.
  virtual Result<std::optional<std::string>> changed_underneath() = 0;
  // "reflink clone", "file", "block device": how it is read, for the job's report.
  [[nodiscard]] virtual std::string how() const = 0;
  // Why it is read that way where a better one exists ("no clone: the file system has no reflinks"); empty: none does.
  [[nodiscard]] virtual std::string note() const { return {}; }
};

enum class CloneMode { try_clone, never };

// The seam for change tracking (what differs from the last clone need not even be read): a reader that is made from the
// clone of this run and the kept clone of the last one answers extent_at() with a third kind of extent, "as before",
// and hands its clone over to be kept. Nothing here stands in its way: a clone has a descriptor (fd()) that FIEMAP
// takes.

// Opens the image read-only. A regular file on a file system with reflinks is cloned first (ioctl_ficlonerange(2)) into
// an unnamed file (O_TMPFILE) beside it, and the clone is read. Errors: image_missing, image_not_a_disk (directory,
// socket, ...), permission_denied, image_unreadable.
Result<std::unique_ptr<ImageReader>> open_image(const std::filesystem::path& image,
                                                CloneMode mode = CloneMode::try_clone);

}  // namespace cairn
