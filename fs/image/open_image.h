// SPDX-License-Identifier: GPL-3.0-or-later
// Opening disks: the one place that knows which reader belongs to which kind of source. A new kind is one more reader
// behind these functions. Any thread.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "config/base/result.h"
#include "config/disk_source.h"
#include "fs/image/image_reader.h"

namespace cairn {

// Opens the disk read-only. A regular file on a file system with reflinks is cloned first (ioctl_ficlonerange(2)) into
// an unnamed file (O_TMPFILE), and the clone is read. The unnamed file is made in `clone_folder`, which is made when it
// is not there, so that it can be kept; without one (empty), or where that fails, beside the image. Images that are not
// raw are read as their guest sees them (QemuImage), which needs the opening thread to outlive the reader. Errors:
// image_missing, image_not_a_disk (directory, socket, ...), permission_denied, image_unreadable; of images that are not
// raw: those of QemuImage::open(); of NBD exports: those of open_nbd_image().
Result<std::unique_ptr<ImageReader>> open_image(const DiskSource& source, CloneMode mode = CloneMode::try_clone,
                                                const std::filesystem::path& clone_folder = {});

// The same without what reading needs beside the clones: for who holds a guest still while all its disks are cloned.
// Then begin_reading().
Result<std::unique_ptr<ImageReader>> open_clone(const DiskSource& source, const std::filesystem::path& clone_folder);

// Why its changes can never be tracked, whatever the file system can, in words; nothing: perhaps they can.
std::optional<std::string> why_not_tracked(const DiskSource& source);

// Whether there surely is no such disk. Nothing is opened.
bool image_is_missing(const DiskSource& source);

}  // namespace cairn
