// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/file/lock_seen.h"

#include <fcntl.h>

namespace cairn {

std::optional<LockSeen> lock_seen(int fd, ByteRange bytes) {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(bytes.offset);
  lock.l_len = static_cast<off_t>(bytes.size);
  if (::fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return std::nullopt;
  return LockSeen{lock.l_pid > 0 ? lock.l_pid : 0};
}

}  // namespace cairn
