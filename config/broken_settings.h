// SPDX-License-Identifier: GPL-3.0-or-later
// Broken settings: what can be told of a settings file that is not right, so that a mistake in it does not keep
// anybody from asking a healthy daemon. Any thread.
#pragma once

#include <filesystem>

namespace cairn {

// Where the daemon of that file listens, most likely: the value of a line `socket: PATH`, else the default. For a file
// that load_settings() read and refused (settings_invalid).
std::filesystem::path socket_named_in(const std::filesystem::path& file);

}  // namespace cairn
