// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/restore/restore_target.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "config/base/units.h"
#include "fs/file/direct_io.h"
#include "fs/file/rename.h"

namespace cairn {

namespace fs = std::filesystem;

Result<void> check_restore_folder(const fs::path& folder) {
  if (!folder.is_absolute())
    return fail(ErrorCode::used_wrongly, "restore to", folder.string(), "the directory must be an absolute path",
                "give the whole path, from / on");
  struct stat facts{};
  if (stat(folder.c_str(), &facts) != 0) {
    if (errno == ENOENT || errno == ENOTDIR)
      return fail(ErrorCode::target_missing, "restore to", folder.string(), "there is no such directory",
                  "make it first: mkdir -p " + folder.string());
    return fail_errno(errno, "restore to", folder.string());
  }
  if (!S_ISDIR(facts.st_mode))
    return fail(ErrorCode::target_missing, "restore to", folder.string(), "it is not a directory");
  return {};
}

Result<void> check_restore_name(const fs::path& target, IfExists if_exists) {
  struct stat facts{};
  if (lstat(target.c_str(), &facts) != 0) return {};
  if (S_ISDIR(facts.st_mode))
    return fail(ErrorCode::target_exists, "restore to", target.string(), "a directory is in its place");
  if (if_exists == IfExists::fail)
    return fail(ErrorCode::target_exists, "restore to", target.string(), "the file is there already");
  return {};
}

RestoreTarget::RestoreTarget(RestoreTarget&& other) noexcept
    : fd_(std::move(other.fd_)),
      final_(std::move(other.final_)),
      path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      size_(other.size_),
      direct_(other.direct_.load()) {}

RestoreTarget::~RestoreTarget() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

Result<RestoreTarget> RestoreTarget::create(const fs::path& final_path, std::uint64_t size) {
  RestoreTarget file;
  file.final_ = final_path;
  file.path_ = final_path.string();
  file.size_ = size;
  const std::string folder = final_path.parent_path().string();
  file.fd_ = UniqueFd(open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file.fd_) {
    // EISDIR: a kernel that does not know O_TMPFILE, or a file system behind one that does not (open(2)).
    const int refused = errno;
    if (refused != EOPNOTSUPP && refused != EISDIR && refused != EINVAL)
      return fail_errno(refused, "create file in", folder);
    std::string name = file.temporary_pattern();
    file.fd_ = UniqueFd(mkostemp(name.data(), O_CLOEXEC));  // mode 0600
    if (!file.fd_) return fail_errno(errno, "create file in", folder);
    file.temporary_ = name;
  }
  // In whole blocks until publish(), so that no direct write has to make the file longer, which would be done alone.
  const auto blocks = static_cast<off_t>(direct_ceiling(size));
  if (ftruncate(file.fd_.get(), blocks) != 0)
    return fail_errno(errno, "set the size of", file.path_, ErrorCode::io_error,
                      fmt::format("it needs a file of {}", format_size(size)));
  // tmpfs before Linux 6.6 and some FUSE file systems refuse this; others refuse the first write.
  file.direct_ = fcntl(file.fd_.get(), F_SETFL, O_DIRECT) == 0;
  return file;
}

void RestoreTarget::leave_direct() {
  (void)fcntl(fd_.get(), F_SETFL, 0);  // the only status flag we set
  direct_ = false;
}

Result<void> RestoreTarget::write(std::uint64_t offset, ByteView bytes) {
  CAIRN_ASSERT(offset % kDirectBlock == 0 && bytes.size() % kDirectBlock == 0);
  CAIRN_ASSERT(offset + bytes.size() <= direct_ceiling(size_));
  const std::uint64_t begin = offset;
  while (!bytes.empty()) {
    const ssize_t wrote = pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EINVAL && direct_) {
      leave_direct();
      continue;
    }
    if (wrote < 0) return fail_errno(errno, "write", path_);
    // What is left after a short write need not be aligned: if it is refused, the page cache takes it.
    offset += static_cast<std::uint64_t>(wrote);
    bytes = bytes.subspan(static_cast<std::size_t>(wrote));
  }
  // Writing back begins now, so that the fsync at the end has little left to do. Only a hint.
  if (!direct_)
    (void)sync_file_range(fd_.get(), static_cast<off64_t>(begin), static_cast<off64_t>(offset - begin),
                          SYNC_FILE_RANGE_WRITE);
  return {};
}

Result<void> RestoreTarget::publish(IfExists if_exists) {
  if (ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0) return fail_errno(errno, "set the size of", path_);
  if (fsync(fd_.get()) != 0) return fail_errno(errno, "write", path_);
  if (!direct_) (void)posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED);  // what is clean by now need not stay
  if (temporary_.empty() && if_exists == IfExists::fail) {
    if (!link_as(path_)) return not_named();
  } else {
    // Only rename(2) replaces a file in one step, and it needs a name to begin with.
    if (temporary_.empty() && !link_as_temporary()) return not_named();
    if (!rename_to_final(if_exists)) return not_named();
  }
  const UniqueFd folder(open(final_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || fsync(folder.get()) != 0) return fail_errno(errno, "sync directory", final_.parent_path().string());
  return {};
}

std::string RestoreTarget::temporary_pattern() const {
  return (final_.parent_path() / ("." + final_.filename().string() + ".XXXXXX")).string();
}

// These give false with errno. linkat(2) of the descriptor itself would need CAP_DAC_READ_SEARCH, by way of /proc none.
bool RestoreTarget::link_as(const std::string& name) const {
  const std::string self = fmt::format("/proc/self/fd/{}", fd_.get());
  return linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
}

bool RestoreTarget::link_as_temporary() {
  for (int tries = 0; tries < 100; ++tries) {
    // A name that is free; mkostemp makes it, and the file must go before the link.
    std::string name = temporary_pattern();
    const UniqueFd taken(mkostemp(name.data(), O_CLOEXEC));
    if (!taken) return false;
    unlink(name.c_str());
    if (link_as(name)) {
      temporary_ = name;
      return true;
    }
    if (errno != EEXIST) return false;
  }
  return false;
}

bool RestoreTarget::rename_to_final(IfExists if_exists) {
  if (if_exists == IfExists::replace) {
    if (rename(temporary_.c_str(), path_.c_str()) != 0) return false;
  } else if (const int problem = rename_no_replace(temporary_.c_str(), path_.c_str()); problem != 0) {
    errno = problem;
    return false;
  }
  temporary_.clear();
  return true;
}

std::unexpected<Error> RestoreTarget::not_named() const {
  const int problem = errno;
  if (problem == EEXIST) return fail(ErrorCode::target_exists, "restore to", path_, "the file appeared meanwhile");
  return fail_errno(problem, "name the restored file", path_);
}

}  // namespace cairn
