// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/guest/image_lock.h"

#include <fcntl.h>

#include "config/base/unique_fd.h"
#include "fs/file/lock_seen.h"

namespace cairn {

bool is_locked_as_by_qemu(const std::filesystem::path& image) {
  const UniqueFd fd(::open(image.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  return fd && lock_seen(fd.get(), {100, 200});
}

}  // namespace cairn
