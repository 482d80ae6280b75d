// SPDX-License-Identifier: GPL-3.0-or-later
// Whether a QEMU has an image open, by its locks: a guest whose monitor is not there may be off, or the settings may
// name the wrong socket. Any thread.
#pragma once

#include <filesystem>

namespace cairn {

// On the bytes that QEMU locks (fs/file/lock_seen.h). False also where that cannot be seen.
bool is_locked_as_by_qemu(const std::filesystem::path& image);

}  // namespace cairn
