// SPDX-License-Identifier: GPL-3.0-or-later
// ChangeWatch: notices that an image was written to while it was read. Files: size and times (statx(2)), and whether
// the path still leads to the same file. Block devices: the kernel's write counters (Documentation/block/stat.rst), of
// the partition and of the disk it lies on. One thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "config/base/result.h"

namespace cairn {

// What was seen of changes to an image while it was read.
struct ImageChange {
  // torn: it was written to, so what was read is of different times; not_known: it may have been; untouched: something
  // else changed (its name leads elsewhere), and what was read is whole.
  enum class Kind { torn, not_known, untouched };
  Kind kind = Kind::not_known;
  std::string words;  // for a warning: "it was written to while it was read"
};

class ChangeWatch {
 public:
  virtual ~ChangeWatch() = default;
  // Nothing: it surely did not change. Errors: image_unreadable.
  virtual Result<std::optional<ImageChange>> look() = 0;
};

// `fd` is borrowed and must outlive the watch. May wait some milliseconds: file times move in steps of the kernel's
// tick, and a later write must not carry the same time as one before the watch. Errors: image_unreadable.
Result<std::unique_ptr<ChangeWatch>> watch_file(int fd, const std::filesystem::path& image);
// Flushes what others have written to the device and not yet flushed, so that the counters have it.
Result<std::unique_ptr<ChangeWatch>> watch_block_device(int fd, const std::filesystem::path& image);

}  // namespace cairn
