// SPDX-License-Identifier: GPL-3.0-or-later
// StateLock: one daemon a state directory. A lock of flock(2) on "cairnd.lock", which the kernel gives back however the
// process ends; the file holds the process id, for the message to whoever is refused.
#pragma once

#include <filesystem>

#include "config/base/result.h"
#include "config/base/unique_fd.h"

namespace cairn {

// Makes the state directory (mode 0700) when its parent is there. Errors: daemon_failed (the parent is missing, or it
// is no directory), permission_denied, io_error.
Result<void> make_state_dir(const std::filesystem::path& state_dir);

class StateLock {
 public:
  // Makes the directory when it is missing. Errors: daemon_running, permission_denied, io_error; as make_state_dir.
  static Result<StateLock> take(const std::filesystem::path& state_dir);

 private:
  explicit StateLock(UniqueFd file) : file_(std::move(file)) {}
  UniqueFd file_;
};

}  // namespace cairn
