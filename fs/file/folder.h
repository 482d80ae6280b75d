// SPDX-License-Identifier: GPL-3.0-or-later
// Folders that survive a power cut.
#pragma once

#include <filesystem>

#include "config/base/result.h"

namespace cairn {

// Makes durable which entries the folder has (not what is in them). Errors: io_error, permission_denied,
// object_missing.
Result<void> sync_folder(const std::filesystem::path& folder);
// Makes the folder (0700) unless it is there, and syncs its parent.
Result<void> make_folder(const std::filesystem::path& folder);

}  // namespace cairn
