// SPDX-License-Identifier: GPL-3.0-or-later
// RemoteService: asks the daemon over its Unix socket (daemon/API.md); same results as LocalService. Any thread: each
// call has a connection of its own.
#pragma once

#include <filesystem>
#include <memory>

#include "config/base/result.h"
#include "daemon/service/service.h"

namespace cairn {

// Errors: daemon_unreachable  nobody listens there (the command then works in the foreground)
//         permission_denied   the socket, or its directory, may not be opened by this user
//         daemon_failed       something else than a Cairn daemon answers, or one that speaks another API
// Calls on the service fail with the daemon's own error, or daemon_unreachable when it went away.
Result<std::unique_ptr<Service>> connect_to_daemon(const std::filesystem::path& socket_path);

}  // namespace cairn
