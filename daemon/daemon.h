// SPDX-License-Identifier: GPL-3.0-or-later
// Daemon: cairnd's parts, started in order, taken down in the reverse order, and the loop that waits for signals.
// For the main thread of cairnd.
#pragma once

#include <filesystem>

#include "config/base/error.h"
#include "config/base/result.h"

namespace cairn {

// Reads the settings, unlocks the store, mounts, schedules and serves until SIGTERM or SIGINT. SIGHUP reads the
// settings again and mounts again if the mount is gone. Blocks these signals; call before other threads exist. Errors:
// those of load_settings, Engine::open, StateLock::take, ControlApi::start.
Result<void> run_daemon(const std::filesystem::path& settings_file);

// Reads the settings and unlocks the store; changes nothing. What `cairnd --check` does.
Result<void> check_daemon(const std::filesystem::path& settings_file);

}  // namespace cairn
