// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/restore/target_device.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "fs/file/link_file.h"
#include "fs/file/walk_path.h"

namespace cairn {
namespace {

std::unexpected<Error> in_use(const std::string& path, std::string because) {
  return fail(ErrorCode::image_in_use, kRestoringHeader, path, std::move(because),
              "shut the virtual machine down; umount, cryptsetup close, or losetup -d what uses it");
}

}  // namespace

Result<TargetDevice> TargetDevice::open(const std::filesystem::path& path) {
  TargetDevice device;
  device.path_ = path.string();
  // What it is must be known before it is opened to write: O_EXCL means something for block devices only, and opening a
  // pipe or a tape would do something. /proc opens the very same file again, whatever the path leads to by now.
  auto walked = walk_to_file_by_own_links(path);
  if (!walked) {
    Error error = std::move(walked).error();
    const bool on_the_way = error.code == ErrorCode::wrong_file_type && error.resolution.empty();
    if (error.code == ErrorCode::object_missing || on_the_way)
      return fail(ErrorCode::image_missing, kRestoringHeader, device.path_, "it does not exist",
                  "name the disk's block device or image file");
    error.doing = kRestoringHeader;
    return pass_on(std::move(error));
  }
  const UniqueFd found = *std::move(walked);
  struct stat facts{};
  if (::fstat(found.get(), &facts) != 0) return fail_errno(errno, kRestoringHeader, device.path_);
  const bool block = S_ISBLK(facts.st_mode);
  if (!block && !S_ISREG(facts.st_mode))
    return fail(ErrorCode::image_not_a_disk, kRestoringHeader, device.path_, "it is neither a file nor a block device",
                "name the disk's block device or image file");
  const std::string same = fmt::format("/proc/self/fd/{}", found.get());
  UniqueFd held(::open(same.c_str(), O_RDWR | O_CLOEXEC | (block ? O_EXCL : 0)));
  if (!held) {
    if (errno == ENOENT && !has_proc()) return pass_on(needs_proc(kRestoringHeader, device.path_.c_str()));
    if (errno == EBUSY) return in_use(device.path_, "it, or a partition of it, is mounted, mapped or held otherwise");
    return fail_errno(errno, kRestoringHeader, device.path_);
  }
  device.fd_ = std::move(held);
  if (block) {
    if (::ioctl(device.fd_.get(), BLKGETSIZE64, &device.size_) != 0)
      return fail_errno(errno, kRestoringHeader, device.path_);
    return device;
  }
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(device.fd_.get(), F_OFD_SETLK, &lock) != 0) {
    if (errno == EAGAIN || errno == EACCES)
      return in_use(device.path_, "another process has locked it: QEMU does while its machine runs");
    return fail_errno(errno, kRestoringHeader, device.path_);
  }
  // With the lock held: its size stands still now.
  if (::fstat(device.fd_.get(), &facts) != 0) return fail_errno(errno, kRestoringHeader, device.path_);
  device.size_ = static_cast<std::uint64_t>(facts.st_size);
  return device;
}

Result<void> TargetDevice::read(std::uint64_t offset, MutableBytes to) const {
  // Drops what is clean, which is all of it after sync().
  (void)::posix_fadvise(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(to.size()), POSIX_FADV_DONTNEED);
  while (!to.empty()) {
    const ssize_t got = ::pread(fd_.get(), to.data(), to.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      return fail_errno(errno, "read", path_, ErrorCode::io_error, fmt::format("reading at byte {}", offset));
    if (got == 0) return fail(ErrorCode::io_error, "read", path_, fmt::format("it ends at byte {}", offset));
    offset += static_cast<std::uint64_t>(got);
    to = to.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

Result<void> TargetDevice::write(ByteOffset offset, ByteView bytes, ByteCount& written) {
  written = ByteCount(0);
  while (written.bytes() < bytes.size()) {
    const ByteView rest = bytes.subspan(written.in_memory());
    const auto at = static_cast<off_t>((offset + written).from_start());
    const ssize_t wrote = ::pwrite(fd_.get(), rest.data(), rest.size(), at);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return fail_errno(wrote == 0 ? ENOSPC : errno, kRestoringHeader, path_);
    written = written + ByteCount(static_cast<std::uint64_t>(wrote));
  }
  return {};
}

Result<void> TargetDevice::sync() {
  if (::fsync(fd_.get()) != 0) return fail_errno(errno, kRestoringHeader, path_);
  return {};
}

}  // namespace cairn
