// SPDX-License-Identifier: GPL-3.0-or-later
// Whether a QEMU has an image open, by its locks: a guest whose monitor is not there may be off, or the settings may
// name the wrong socket. Any thread.
#pragma once

#include <filesystem>

namespace cairn {

// QEMU locks bytes from 100 and from 200 on of each image that it has open (block/file-posix.c), unless it was told not
// to (locking=off). False also where that cannot be seen.
bool is_locked_as_by_qemu(const std::filesystem::path& image);

}  // namespace cairn
