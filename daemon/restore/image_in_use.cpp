// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/restore/image_in_use.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <string>

#include "config/base/unique_fd.h"
#include "fs/file/lock_seen.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

// Who has the file open, by its path alone: a stat(2) of what others have open may never come back.
std::string holders_of(const fs::path& file) {
  std::error_code ignored;
  const fs::path whole = fs::canonical(file, ignored);
  std::string found;
  for (fs::directory_iterator process("/proc", ignored), end; process != end && !ignored; process.increment(ignored)) {
    const std::string pid = process->path().filename().string();
    if (pid.front() < '0' || pid.front() > '9' || pid == std::to_string(getpid())) continue;
    std::error_code closed;  // another user's
    for (fs::directory_iterator fd(process->path() / "fd", closed), last; fd != last && !closed; fd.increment(closed)) {
      std::error_code gone;
      if (fs::read_symlink(fd->path(), gone) != whole) continue;
      std::string name;
      std::getline(std::ifstream(process->path() / "comm"), name);
      found += fmt::format("{}{} (pid {})", found.empty() ? "" : ", ", name, pid);
      break;
    }
  }
  return found;
}

// Empty: there is no lock.
std::string locked_by_whom(int fd) {
  const auto lock = lock_seen(fd);
  if (!lock) return {};
  return lock->process > 0 ? fmt::format("it is locked (by process {})", lock->process)
                           : "it is locked, as QEMU locks the disks of a machine that runs";
}

// A lease for reading is refused as long as anybody has the file open for writing, in whatever process or namespace, a
// loop device and a mapping included.
bool is_open_for_writing(int fd) {
  // Who opens it meanwhile breaks the lease, which tells us with a signal that would end the process.
  static const auto ignored = std::signal(SIGIO, SIG_IGN);
  (void)ignored;
  if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
    (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    return false;
  }
  return errno == EAGAIN;  // others: this file system has no leases, or it is another user's file
}

}  // namespace

Result<void> check_not_in_use(const fs::path& file) {
  const UniqueFd fd(open(file.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC));
  struct stat facts{};
  if (!fd || fstat(fd.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) return {};
  std::string because = locked_by_whom(fd.get());
  if (because.empty() && is_open_for_writing(fd.get())) because = "it is open for writing";
  if (because.empty()) return {};
  if (const std::string holders = holders_of(file); !holders.empty()) because += ": " + holders;
  return fail(ErrorCode::image_in_use, "replace", file.string(), std::move(because),
              "shut the virtual machine down first, or restore to another directory");
}

}  // namespace cairn
