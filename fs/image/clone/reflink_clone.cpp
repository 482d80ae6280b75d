// SPDX-License-Identifier: GPL-3.0-or-later
// Reflink clones with O_TMPFILE and FICLONE.
// Nothing needs to be flushed before: FICLONE itself writes back the image's dirty pages and waits for them, under the
// inode's lock (XFS: generic_remap_file_range_prep(); btrfs: btrfs_remap_file_range_prep(), which also waits for direct
// writes in flight). The tests write without fsync and find the bytes in the clone.
#include "fs/image/clone/reflink_clone.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "config/base/open_beneath.h"
#include "fs/file/folder.h"
#include "fs/image/clone/kept_clone.h"

namespace cairn {

namespace {

ReflinkClone no_clone(std::string reason) {
  ReflinkClone none;
  none.reason = "no clone: " + std::move(reason);
  none.why_not_keepable = none.reason;
  return none;
}

std::string why_no_temporary_file(int error, const std::filesystem::path& directory) {
  switch (error) {
    case EACCES:
    case EPERM:
      return fmt::format("this process may not write to {}", directory.string());
    case EROFS:
      return "the file system is mounted read-only";
    case EOPNOTSUPP:
    case EISDIR:
      return "the file system has no unnamed files (O_TMPFILE)";
    default:
      return fmt::format("no temporary file in {}: {}", directory.string(), std::strerror(error));
  }
}

std::string why_no_reflink(int error) {
  switch (error) {
    case EOPNOTSUPP:
    case ENOTTY:
    case EINVAL:
    case ENOSYS:
      return "the file system has no reflinks";
    case EXDEV:
      return "the image lies on another file system";
    case EROFS:
      return "the file system is read-only";
    case ENOSPC:
    case EDQUOT:
      return "the file system is full";
    case ETXTBSY:
      return "the image is in use as a swap file";
    default:
      return std::strerror(error);
  }
}

// btrfs shares extents only between files that are both checksummed or both not, and images often are not (chattr +C);
// a new file is as its directory is.
void follow_copy_on_write_setting(int source, int clone) {
  int flags = 0;
  if (::ioctl(source, FS_IOC_GETFLAGS, &flags) != 0) return;
  int clone_flags = 0;
  if (::ioctl(clone, FS_IOC_GETFLAGS, &clone_flags) != 0) return;
  if (((flags ^ clone_flags) & FS_NOCOW_FL) == 0) return;
  clone_flags ^= FS_NOCOW_FL;
  // Where this fails FICLONE does too, and says so.
  static_cast<void>(::ioctl(clone, FS_IOC_SETFLAGS, &clone_flags));
}

enum class Linkable { yes, no };

ReflinkClone clone_into(int source, const std::filesystem::path& directory, Linkable linkable) {
  // A clone that gets a name gets it there; the other way round no name is ever made.
  const auto folder = linkable == Linkable::yes ? Folder::open_itself(directory) : Folder::open(directory);
  if (!folder && folder.error().sys_errno == 0) return no_clone(folder.error().because);
  if (!folder) return no_clone(why_no_temporary_file(folder.error().sys_errno, directory));
  const int flags = O_TMPFILE | O_RDWR | (linkable == Linkable::yes ? 0 : O_EXCL);
  UniqueFd writable(open_beneath(folder->fd(), ".", flags, 0400));
  if (!writable) return no_clone(why_no_temporary_file(errno, directory));
  follow_copy_on_write_setting(source, writable.get());
  if (::ioctl(writable.get(), FICLONE, source) != 0) return no_clone(why_no_reflink(errno));

  // From here on nobody can write to it, not even by mistake.
  UniqueFd read_only(::open(fmt::format("/proc/self/fd/{}", writable.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!read_only) return no_clone(fmt::format("opening it for reading failed: {}", std::strerror(errno)));
  ReflinkClone clone;
  clone.fd = std::move(read_only);
  if (linkable == Linkable::yes) clone.folder = directory;
  return clone;
}

}  // namespace

ReflinkClone clone_image(int source, const std::filesystem::path& image, const std::filesystem::path& clone_folder) {
  std::string why_not_keepable = "no clone is to be kept";
  if (!clone_folder.empty()) {
    if (auto prepared = prepare_clone_folder(source, clone_folder)) {
      why_not_keepable = *std::move(prepared);
    } else if (ReflinkClone clone = clone_into(source, clone_folder, Linkable::yes); clone.fd) {
      return clone;
    } else {
      why_not_keepable = fmt::format("no clone in {}: {}", clone_folder.string(),
                                     clone.reason.substr(std::string_view("no clone: ").size()));
      remove_clone_folder(clone_folder);
    }
  }
  // The directory of the file itself: a link to it may lie on another file system.
  std::error_code ignored;
  std::filesystem::path real = std::filesystem::canonical(image, ignored);
  if (ignored) real = image;
  ReflinkClone clone =
      clone_into(source, real.has_parent_path() ? real.parent_path() : std::filesystem::path("."), Linkable::no);
  if (clone.fd) clone.why_not_keepable = std::move(why_not_keepable);
  return clone;
}

}  // namespace cairn
