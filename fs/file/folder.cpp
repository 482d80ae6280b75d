// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/file/folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "config/base/unique_fd.h"

namespace cairn {

Result<void> sync_folder(const std::filesystem::path& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return fail_errno(errno, "sync folder", folder.string());
  return {};
}

Result<void> make_folder(const std::filesystem::path& folder) {
  // One that is there may have been made by somebody who was killed before he could sync it.
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(errno, "make folder", folder.string());
  return sync_folder(folder.parent_path());
}

}  // namespace cairn
