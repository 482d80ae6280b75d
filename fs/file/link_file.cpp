// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/file/link_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace cairn {

int link_open_file(int file, int folder, const char* name) {
  const std::string self = "/proc/self/fd/" + std::to_string(file);
  if (::linkat(AT_FDCWD, self.c_str(), folder, name, AT_SYMLINK_FOLLOW) == 0) return 0;
  const int problem = errno;
  if (problem != ENOENT || has_proc()) return problem;
  if (::linkat(file, "", folder, name, AT_EMPTY_PATH) == 0) return 0;
  return errno == ENOENT ? ENOSYS : errno;
}

bool has_proc() {
  return ::access("/proc/self/fd", F_OK) == 0;
}

Error needs_proc(const char* doing, const char* object) {
  return Error{ErrorCode::no_proc, doing, object, {}, 0, {}};
}

}  // namespace cairn
