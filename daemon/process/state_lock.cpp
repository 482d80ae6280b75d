// SPDX-License-Identifier: GPL-3.0-or-later
// The daemon's lock on its state directory.
#include "daemon/process/state_lock.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

namespace cairn {

Result<void> make_state_dir(const std::filesystem::path& state_dir) {
  constexpr const char* kDoing = "make state directory";
  if (mkdir(state_dir.c_str(), 0700) != 0 && errno != EEXIST) {
    if (errno == ENOENT || errno == ENOTDIR)
      return fail(
          ErrorCode::daemon_failed, kDoing, state_dir.string(),
          fmt::format("{} is not a directory that exists", state_dir.parent_path().string()),
          "mkdir -p " + state_dir.parent_path().string() + ", or set \"state_dir\" in the settings to another place");
    return fail_errno(errno, kDoing, state_dir.string());
  }
  struct stat facts{};
  if (stat(state_dir.c_str(), &facts) == 0 && !S_ISDIR(facts.st_mode))
    return fail(ErrorCode::daemon_failed, "use state directory", state_dir.string(), "it is not a directory",
                "move it away, or set \"state_dir\" in the settings to another place");
  return {};
}

Result<StateLock> StateLock::take(const std::filesystem::path& state_dir) {
  CAIRN_CHECK(make_state_dir(state_dir));
  const std::string path = (state_dir / "cairnd.lock").string();
  UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return fail_errno(errno, "open lock file", path);
  if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail_errno(errno, "lock", path);
    char text[32] = {};
    const ssize_t got = pread(file.get(), text, sizeof text - 1, 0);
    const long pid = got > 0 ? std::strtol(text, nullptr, 10) : 0;
    return fail(ErrorCode::daemon_running, "use state directory", state_dir.string(),
                pid > 0 ? fmt::format("another cairnd (pid {}) uses it", pid) : "another cairnd uses it");
  }
  const std::string text = fmt::format("{}\n", getpid());
  if (ftruncate(file.get(), 0) != 0 || pwrite(file.get(), text.data(), text.size(), 0) < 0)
    return fail_errno(errno, "write lock file", path);
  return StateLock(std::move(file));
}

}  // namespace cairn
