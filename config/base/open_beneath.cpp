// SPDX-License-Identifier: GPL-3.0-or-later
#include "config/base/open_beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <string_view>

#include "config/base/unique_fd.h"

namespace cairn {
namespace {

bool leads_out(std::string_view name) {
  if (name.starts_with('/')) return true;
  while (!name.empty()) {
    const std::size_t end = std::min(name.find('/'), name.size());
    if (name.substr(0, end) == "..") return true;
    name.remove_prefix(std::min(end + 1, name.size()));
  }
  return false;
}

// openat2(2) takes no flag that means nothing.
int flags_of(int flags) {
  if ((flags & O_PATH) != 0) return flags | O_CLOEXEC;
  return flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
}
bool makes(int flags) {
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

int call_openat2(int folder, const char* name, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags_of(flags));
  how.mode = makes(flags) ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, folder, name, &how, sizeof(how)));
}

// Whether a refusal is of the call, and not of the file: filters of containers answer ENOSYS or EPERM.
bool has_openat2() {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  const UniqueFd found(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how))));
  return static_cast<bool>(found) || (errno != ENOSYS && errno != EPERM);
}

std::atomic<bool> g_lacks_openat2{false};

}  // namespace

int open_stepwise(int folder, const char* name, int flags, mode_t mode) {
  std::string_view rest(name);
  if (leads_out(rest)) return errno = EXDEV, -1;
  UniqueFd within;
  int at = folder;
  const auto open_step = [&at](const std::string& step, int step_flags, mode_t step_mode) {
    const int fd = ::openat(at, step.c_str(), step_flags | O_NOFOLLOW, step_mode);
    // A link where a directory is wanted is told as "not a directory".
    struct stat facts{};
    if (fd < 0 && errno == ENOTDIR)
      errno = ::fstatat(at, step.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(facts.st_mode) ? ELOOP : ENOTDIR;
    return fd;
  };
  for (std::size_t slash = rest.find('/'); slash != std::string_view::npos; slash = rest.find('/')) {
    const std::string step(rest.substr(0, slash));
    rest.remove_prefix(slash + 1);
    if (step.empty()) continue;
    UniqueFd next(open_step(step, O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
    if (!next) return -1;
    within = std::move(next);
    at = within.get();
  }
  // What ends with a slash is the folder itself.
  if (rest.empty()) return ::openat(at, ".", flags_of(flags | O_DIRECTORY));
  const int fd = open_step(std::string(rest), flags_of(flags), mode);
  struct stat facts{};
  // O_PATH opens links themselves.
  if (fd >= 0 && (flags & O_PATH) != 0 && (flags & O_NOFOLLOW) == 0 && ::fstat(fd, &facts) == 0 &&
      S_ISLNK(facts.st_mode)) {
    ::close(fd);
    return errno = ELOOP, -1;
  }
  return fd;
}

int open_beneath(int folder, const char* name, int flags, mode_t mode) {
  if (!g_lacks_openat2.load(std::memory_order_relaxed)) {
    if (leads_out(name)) return errno = EXDEV, -1;
    const int fd = call_openat2(folder, name, flags, mode);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return fd;
    const int refused = errno;
    if (has_openat2()) return errno = refused, -1;
    g_lacks_openat2.store(true, std::memory_order_relaxed);
  }
  return open_stepwise(folder, name, flags, mode);
}

}  // namespace cairn
