// SPDX-License-Identifier: GPL-3.0-or-later
// Unix stream sockets by path, for both ends of the control API. Any thread.
#pragma once

#include <filesystem>

#include "config/base/result.h"
#include "config/base/unique_fd.h"

namespace cairn {

// Errors: daemon_unreachable  nothing there, or nobody answers
//         permission_denied   the socket or its directory may not be opened
//         daemon_failed       not a socket, or the path is too long for one
Result<UniqueFd> connect_unix_socket(const std::filesystem::path& path);

}  // namespace cairn
