// Reflink clones: an unnamed copy of an image that shares its extents, made in one step by the file system (FICLONE,
// ioctl_ficlonerange(2)): what a power cut at that instant would have left. Any thread.
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>
#include <string>

#include "config/base/unique_fd.h"

namespace cairn {

struct ReflinkClone {
  UniqueFd fd;         // open for reading only; vanishes when it is closed. Empty: no clone could be had
  std::string reason;  // why not, in words
};

// `source` is open for reading and is the regular file at `image`; the clone is made in that file's directory, as
// O_TMPFILE: no name appears there and nothing stays behind, whatever happens to this process.
ReflinkClone clone_image(int source, const std::filesystem::path& image);

}  // namespace cairn
