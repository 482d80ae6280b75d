// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/restore/restore_target.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "config/base/bytes.h"
#include "config/base/units.h"
#include "fs/file/direct_io.h"

namespace cairn {

Result<Folder> open_restore_folder(const std::filesystem::path& folder) {
  if (!folder.is_absolute())
    return fail(ErrorCode::used_wrongly, "restore to", folder.string(), "the directory must be an absolute path",
                "give the whole path, from / on");
  auto opened = Folder::open(folder, Folder::Links::own);
  if (opened) return opened;
  if (opened.error().code == ErrorCode::object_missing)
    return fail(ErrorCode::target_missing, "restore to", folder.string(), "there is no such directory");
  if (opened.error().code == ErrorCode::wrong_file_type && opened.error().resolution.empty())
    return fail(ErrorCode::target_missing, "restore to", folder.string(), "it is not a directory");
  Error error = std::move(opened).error();
  error.doing = "restore to";
  return pass_on(std::move(error));
}

Result<void> check_restore_name(const Folder& folder, const std::string& name, IfExists if_exists) {
  CAIRN_TRY(const auto facts, folder.look_at(name));
  if (!facts) return {};
  if (S_ISDIR(facts->st_mode))
    return fail(ErrorCode::target_exists, "restore to", folder.path_of(name), "a directory is in its place");
  if (if_exists == IfExists::fail)
    return fail(ErrorCode::target_exists, "restore to", folder.path_of(name), "the file is there already");
  return {};
}

RestoreTarget::RestoreTarget(RestoreTarget&& other) noexcept
    : folder_(other.folder_),
      fd_(std::move(other.fd_)),
      name_(std::move(other.name_)),
      path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      size_(other.size_),
      direct_(other.direct_.load()) {}

RestoreTarget::~RestoreTarget() {
  if (!temporary_.empty()) static_cast<void>(folder_.remove_file(temporary_).has_value());
}

Result<RestoreTarget> RestoreTarget::create(const Folder& folder, const std::string& name, std::uint64_t size) {
  RestoreTarget file(folder);
  file.name_ = name;
  file.path_ = folder.path_of(name);
  file.size_ = size;
  if (auto unnamed = folder.create_unnamed(); unnamed) {
    file.fd_ = *std::move(unnamed);
  } else {
    // EISDIR: a kernel that does not know O_TMPFILE, or a file system behind one that does not (open(2)).
    const int refused = unnamed.error().sys_errno;
    if (refused != EOPNOTSUPP && refused != EISDIR && refused != EINVAL) return pass_on(std::move(unnamed).error());
    CAIRN_CHECK(file.create_named());
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
    if (const int problem = link_as(name_); problem != 0) return not_named(problem);
  } else {
    // Only rename(2) replaces a file in one step, and it needs a name to begin with.
    if (temporary_.empty())
      if (const int problem = link_as_temporary(); problem != 0) return not_named(problem);
    auto renamed = folder_.rename(temporary_, folder_, name_, if_exists);
    if (!renamed) return not_named(renamed.error().sys_errno);
    temporary_.clear();
  }
  return folder_.sync();
}

std::string RestoreTarget::temporary_name() const {
  std::array<std::uint8_t, 6> random{};
  if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) std::abort();
  return fmt::format(".{}.{}", name_, to_hex(random));
}

Result<void> RestoreTarget::create_named() {
  const std::string name = temporary_name();
  CAIRN_TRY(fd_, folder_.create_file(name));
  temporary_ = name;
  return {};
}

// These give an errno, 0: done. linkat(2) of the descriptor itself needs CAP_DAC_READ_SEARCH, by way of /proc none; a
// rescue system may have no /proc.
int RestoreTarget::link_as(const std::string& name) const {
  const std::string self = fmt::format("/proc/self/fd/{}", fd_.get());
  if (linkat(AT_FDCWD, self.c_str(), folder_.fd(), name.c_str(), AT_SYMLINK_FOLLOW) == 0) return 0;
  if (errno != ENOENT) return errno;
  return linkat(fd_.get(), "", folder_.fd(), name.c_str(), AT_EMPTY_PATH) == 0 ? 0 : errno;
}

int RestoreTarget::link_as_temporary() {
  const std::string name = temporary_name();
  const int problem = link_as(name);
  if (problem == 0) temporary_ = name;
  return problem;
}

std::unexpected<Error> RestoreTarget::not_named(int problem) const {
  if (problem == EEXIST) return fail(ErrorCode::target_exists, "restore to", path_, "the file appeared meanwhile");
  return fail_errno(problem, "name the restored file", path_);
}

}  // namespace cairn
