// SPDX-License-Identifier: GPL-3.0-or-later
// Whether a file that a restore is to replace is somebody's disk right now. A machine that runs goes on writing to the
// file it has open, which has no name any more once another is put in its place: all of that is lost when it ends.
// fcntl(2), proc(5). Any thread.
#pragma once

#include <filesystem>

#include "config/base/result.h"

namespace cairn {

// What is not there, or no regular file, is nobody's. Readers alone do no harm: they keep what they have open.
// Errors: image_in_use: it is open for writing, mapped so, or locked (QEMU locks the images of its machines, those that
// it only reads too); `because` says by whom, where that can be seen. What cannot be told is let pass.
Result<void> check_not_in_use(const std::filesystem::path& file);

}  // namespace cairn
