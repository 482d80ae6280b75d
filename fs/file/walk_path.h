// SPDX-License-Identifier: GPL-3.0-or-later
// The way to what the administrator named: a directory (for Folder), or a file or device. Any thread.
#pragma once

#include <filesystem>

#include "config/base/result.h"
#include "config/base/unique_fd.h"

namespace cairn {

// Opens the directory (O_PATH), through links as the system does.
// Errors: object_missing, wrong_file_type (it is no directory), permission_denied, io_error.
Result<UniqueFd> walk_path(const std::filesystem::path& path);

// The same, once, step by step: only links of root and of this user are followed, at most 40, so that nobody else who
// may write to a directory on the way leads us elsewhere. What an owned link names is walked by the same rule.
// Errors: also wrong_file_type (somebody else's link).
Result<UniqueFd> walk_path_by_own_links(const std::filesystem::path& path);
// The same to something of any kind, but a link: a file, a device, a directory. O_PATH: nothing is opened.
Result<UniqueFd> walk_to_file_by_own_links(const std::filesystem::path& path);

}  // namespace cairn
