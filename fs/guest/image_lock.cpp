// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/guest/image_lock.h"

#include <fcntl.h>

#include "config/base/unique_fd.h"

namespace cairn {

bool is_locked_as_by_qemu(const std::filesystem::path& image) {
  const UniqueFd fd(::open(image.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return false;
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = 100;
  lock.l_len = 200;
  return ::fcntl(fd.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

}  // namespace cairn
