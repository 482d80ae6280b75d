// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/file/direct_io.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace cairn {
namespace {

// Of one call. All of a pack in one would be all at once in the disk's queue, and whoever reads would wait behind it.
constexpr std::size_t kMaxWriteBytes = 1024 * 1024;
// Below this the round trip to the disk costs more than the copy.
constexpr std::size_t kLeastDirectBytes = 256 * 1024;

bool on_block(const void* memory) {
  return reinterpret_cast<std::uintptr_t>(memory) % kDirectBlock == 0;
}

// What a file system says that cannot, or cannot here.
bool is_refusal(int error) {
  return error == EINVAL || error == EOPNOTSUPP || error == ENOTTY;
}

UniqueFd reopen_direct(int fd, int access) {
  const std::string self = "/proc/self/fd/" + std::to_string(fd);
  return UniqueFd(::open(self.c_str(), access | O_DIRECT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
}

// One run at `offset`. Errors as errno, 0: done.
int write_at(int fd, ByteView bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd, bytes.data(), std::min(bytes.size(), kMaxWriteBytes), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
  return 0;
}

// The whole blocks of `bytes`, straight from its memory. How many bytes were written; errors as errno.
struct DirectOutcome {
  std::size_t written = 0;
  int error = 0;
};
DirectOutcome write_direct(int fd, ByteView bytes) {
  if (bytes.size() < kLeastDirectBytes || !on_block(bytes.data())) return {};
  const UniqueFd direct = reopen_direct(fd, O_WRONLY);
  if (!direct) return {};
  const ByteView blocks = bytes.first(bytes.size() / kDirectBlock * kDirectBlock);
  const int error = write_at(direct.get(), blocks, 0);
  if (is_refusal(error)) return {};  // whatever came through is written again
  return {blocks.size(), error};
}

}  // namespace

DirectReads::DirectReads(int fd) : fd_(fd), direct_(reopen_direct(fd, O_RDONLY)), usable_(static_cast<bool>(direct_)) {}

ssize_t DirectReads::read(std::uint64_t offset, MutableBytes to) {
  const std::size_t blocks = to.size() / kDirectBlock * kDirectBlock;
  if (direct() && blocks != 0 && offset % kDirectBlock == 0 && on_block(to.data())) {
    const ssize_t got = ::pread(direct_.get(), to.data(), blocks, static_cast<off_t>(offset));
    if (got >= 0 || !is_refusal(errno)) return got;
    usable_.store(false, std::memory_order_relaxed);
  }
  return ::pread(fd_, to.data(), to.size(), static_cast<off_t>(offset));
}

Result<void> write_parts(int fd, std::span<const ByteView> parts, const std::string& path) {
  std::uint64_t offset = 0;
  for (ByteView part : parts) {
    if (offset == 0) {
      const DirectOutcome direct = write_direct(fd, part);
      if (direct.error != 0) return fail_errno(direct.error, "write", path);
      offset = direct.written;
      part = part.subspan(direct.written);
    }
    if (const int error = write_at(fd, part, offset); error != 0) return fail_errno(error, "write", path);
    offset += part.size();
  }
  return {};
}

}  // namespace cairn
