// SPDX-License-Identifier: GPL-3.0-or-later
// Raw images: disks whose bytes lie in a file or block device of this host as they are. For open_image() only.
#pragma once

#include <filesystem>
#include <memory>

#include "config/base/result.h"
#include "config/base/unique_fd.h"
#include "fs/image/image_reader.h"

namespace cairn {

// A file or block device of this host, open for reading.
struct ImageFile {
  UniqueFd fd;
  bool is_block_device = false;
};
// Neither waits for the other end of a pipe nor opens a device of another kind. Errors: image_missing,
// image_not_a_disk, permission_denied, image_unreadable.
Result<ImageFile> open_image_file(const std::filesystem::path& image);

// As open_image() says.
Result<std::unique_ptr<ImageReader>> open_raw_image(const std::filesystem::path& image, CloneMode mode,
                                                    const std::filesystem::path& clone_folder);

}  // namespace cairn
