// SPDX-License-Identifier: GPL-3.0-or-later
// The way to a directory that the administrator named: for Folder. Any thread.
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

}  // namespace cairn
