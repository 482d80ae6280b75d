// SPDX-License-Identifier: GPL-3.0-or-later
// The file of a disk's detached header, wherever the settings say it is: a file of this host, or one in a file system
// of the disk itself, which is read out of the same snapshot that is backed up (crypto/volume/guest_file.h). Any
// thread.
#pragma once

#include <memory>
#include <string>

#include "config/base/result.h"
#include "config/settings.h"
#include "fs/image/image_reader.h"

namespace cairn {

// As VolumeFacts::detached has it: the path, or HeaderInside::text(). Empty: the disk's header is not detached.
std::string detached_header_of(const DiskSettings& disk);

// `where`: as VolumeFacts::detached. One in a file system of `disk` is in memory afterwards, and does not need `disk`
// any more. Errors: detached_header_unusable; of one in a file system of the disk: those of read_guest_file().
Result<std::unique_ptr<ImageReader>> open_detached_header(const std::string& where, ImageReader& disk,
                                                          const std::string& object);

}  // namespace cairn
