// SPDX-License-Identifier: GPL-3.0-or-later
// Whether somebody has a file locked (fcntl(2), locks of processes and of open files); nothing is locked by asking.
// QEMU has shared locks on bytes from 100 and from 200 on of each image that it has open, with what it may do and what
// others may not (block/file-posix.c, RAW_LOCK_PERM_BASE), unless it was told not to (locking=off). Any thread.
#pragma once

#include <sys/types.h>

#include <optional>

#include "config/base/bytes.h"

namespace cairn {

struct LockSeen {
  pid_t process = 0;  // that has it; 0: it belongs to an open file, as QEMU's do
};
// A lock on any of `bytes` (size 0: up to the end, wherever that is) that would keep one for writing out. Nothing:
// there is none, or it cannot be seen.
std::optional<LockSeen> lock_seen(int fd, ByteRange bytes = {});

}  // namespace cairn
