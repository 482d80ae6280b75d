// SPDX-License-Identifier: GPL-3.0-or-later
// Reflink clones: an unnamed copy of an image that shares its extents, made in one step by the file system (FICLONE,
// ioctl_ficlonerange(2)): what a power cut at that instant would have left. Any thread.
#pragma once

#include <filesystem>
#include <string>

#include "config/base/unique_fd.h"

namespace cairn {

struct ReflinkClone {
  UniqueFd fd;                   // open for reading only; vanishes when it is closed. Empty: no clone could be had
  std::string reason;            // why not, in words
  std::filesystem::path folder;  // where it can be given a name: keep_clone(); empty: nowhere
  std::string why_not_keepable;  // why not, in words
};

// `source` is open for reading and is the regular file at `image`. The clone is made as O_TMPFILE: no name appears and
// nothing stays behind, whatever happens to this process. With a `clone_folder` (prepare_clone_folder()) it is made
// there; without one, or when that cannot be done, in the image's own directory.
ReflinkClone clone_image(int source, const std::filesystem::path& image,
                         const std::filesystem::path& clone_folder = {});

}  // namespace cairn
