// SPDX-License-Identifier: GPL-3.0-or-later
// Raw images: disks whose bytes lie in a file or block device of this host as they are. For open_image() only.
#pragma once

#include <filesystem>
#include <memory>

#include "config/base/result.h"
#include "fs/image/image_reader.h"

namespace cairn {

// As open_image() says.
Result<std::unique_ptr<ImageReader>> open_raw_image(const std::filesystem::path& image, CloneMode mode,
                                                    const std::filesystem::path& clone_folder);

}  // namespace cairn
