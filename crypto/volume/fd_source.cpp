// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/volume/fd_source.h"

#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

namespace cairn {

unsigned FdSource::sector_bytes() const {
  int bytes = 0;
  return ::ioctl(fd_, BLKSSZGET, &bytes) == 0 && bytes > 0 ? static_cast<unsigned>(bytes) : 512;
}

Result<void> FdSource::read(std::uint64_t offset, MutableBytes to) {
  static constexpr const char* kDoing = "look for encrypted volumes on";
  std::size_t done = 0;
  while (done < to.size()) {
    const std::uint64_t at = offset + done;
    const ssize_t got = ::pread(fd_, to.data() + done, to.size() - done, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, kDoing, object_, ErrorCode::io_error, fmt::format("reading at byte {}", at));
    if (got == 0)
      return fail(ErrorCode::io_error, kDoing, object_,
                  fmt::format("it had {} bytes and now ends at byte {} or before", size_, at));
    done += static_cast<std::size_t>(got);
  }
  return {};
}

}  // namespace cairn
