// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/mount/mount_point.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "config/base/log.h"
#include "config/base/unique_fd.h"
#include "fs/file/link_file.h"
#include "fs/mount/mount_users.h"

namespace cairn {
namespace {

namespace filesystem = std::filesystem;
constexpr const char* kFuseDevice = "/dev/fuse";
constexpr const char* kMountInfo = "/proc/self/mountinfo";
constexpr int kMaxStacked = 16;  // dead mounts on top of each other, before we give up

// mountinfo writes space, tab, newline and backslash as \ooo.
std::string unescape(std::string_view text) {
  const auto digit = [&](std::size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '7'; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && digit(i + 1) && digit(i + 2) && digit(i + 3)) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string_view next_word(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

std::optional<dev_t> parse_device(std::string_view word) {
  unsigned major_number = 0;
  unsigned minor_number = 0;
  const char* const end = word.data() + word.size();
  const auto first = std::from_chars(word.data(), end, major_number);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ':') return {};
  const auto second = std::from_chars(first.ptr + 1, end, minor_number);
  if (second.ec != std::errc{} || second.ptr != end) return {};
  return makedev(major_number, minor_number);
}

// Whether the server of the FUSE mount there is gone. statfs(2) always asks the server; stat(2) may be answered by the
// kernel.
bool is_dead(const filesystem::path& path) {
  struct statvfs facts{};
  return statvfs(path.c_str(), &facts) != 0 && errno == ENOTCONN;
}

// The exit status, or -1 when it could not be run.
int run_fusermount(const filesystem::path& path, WhenBusy when_busy) {
  std::string name = "fusermount3";
  std::string quiet_unmount = when_busy == WhenBusy::refuse ? "-qu" : "-quz";
  std::string separator = "--";
  std::string where = path.string();
  char* const arguments[] = {name.data(), quiet_unmount.data(), separator.data(), where.data(), nullptr};
  pid_t child = 0;
  if (posix_spawnp(&child, name.c_str(), nullptr, nullptr, arguments, environ) != 0) return -1;
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Result<void> check_empty(const filesystem::path& path) {
  std::error_code code;
  const filesystem::directory_iterator entries(path, code);
  if (code) return fail_errno(code.value(), "mount recovery points", path.string());
  if (entries != filesystem::directory_iterator{})
    return fail(ErrorCode::mount_point_not_empty, "mount recovery points", path.string(),
                "the directory holds files, which the mount would hide: " + entries->path().filename().string());
  return {};
}

}  // namespace

std::string proc_text(const std::string& path) {
  constexpr std::size_t kMost = std::size_t{64} << 20U;
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  std::string text;
  char piece[16384];
  while (file && text.size() < kMost) {
    const ssize_t got = ::read(file.get(), piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(piece, static_cast<std::size_t>(got));
  }
  return text;
}

std::vector<MountEntry> parse_mountinfo(std::string_view text) {
  std::vector<MountEntry> mounts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
    next_word(line);
    next_word(line);
    const auto device = parse_device(next_word(line));
    next_word(line);
    const std::string_view path = next_word(line);
    const std::size_t dash = line.find("- ");
    if (!device || path.empty() || dash == std::string_view::npos) continue;
    line.remove_prefix(dash + 2);
    mounts.push_back({*device, unescape(path), unescape(next_word(line))});
  }
  return mounts;
}

filesystem::path settle_path(const filesystem::path& path) {
  std::error_code code;
  if (auto whole = filesystem::canonical(filesystem::absolute(path, code).lexically_normal(), code); !code)
    return whole;
  return settle_above(path);
}

filesystem::path settle_above(const filesystem::path& path) {
  std::error_code code;
  filesystem::path absolute = filesystem::absolute(path, code).lexically_normal();
  if (!absolute.has_filename() && absolute.has_parent_path()) absolute = absolute.parent_path();
  if (auto parent = filesystem::canonical(absolute.parent_path(), code); !code) return parent / absolute.filename();
  return absolute;
}

Result<std::optional<MountEntry>> mounted_at(const filesystem::path& settled) {
  const std::string text = proc_text(kMountInfo);
  if (text.empty() && !has_proc()) return pass_on(needs_proc("read mounts", kMountInfo));
  if (text.empty()) return fail(ErrorCode::io_error, "read mounts", kMountInfo, "it is empty or cannot be read");
  std::optional<MountEntry> top;
  for (MountEntry& mount : parse_mountinfo(text))
    if (mount.path == settled.native()) top = std::move(mount);
  return top;
}

Result<void> check_fuse() {
  const UniqueFd device(::open(kFuseDevice, O_RDWR | O_CLOEXEC));
  if (device) return {};
  Error error{
      ErrorCode::no_fuse, "mount recovery points through", kFuseDevice, "the device cannot be opened", errno, {}};
  if (error.sys_errno == EACCES) error.resolution = "it is closed to this user: chmod 0666 /dev/fuse, or try as root";
  return pass_on(std::move(error));
}

Result<void> prepare_mount_point(const filesystem::path& settled) {
  const std::string object = settled.string();
  constexpr const char* kDoing = "mount recovery points";
  for (int i = 0;; ++i) {
    CAIRN_TRY(const auto mount, mounted_at(settled));
    if (!mount) break;
    if (mount->type != kMountType || i == kMaxStacked)
      return fail(ErrorCode::mount_point_busy, kDoing, object,
                  "a file system of type " + mount->type + " is mounted there");
    if (!is_dead(settled))
      return fail(ErrorCode::mount_point_busy, kDoing, object, "recovery points are already mounted there");
    CAIRN_CHECK(take_down(settled, WhenBusy::detach));
    log_event(LogLevel::warning, "dead-mount-removed", object, {{"reason", "the process that served it has ended"}});
  }
  struct stat facts{};
  if (::stat(settled.c_str(), &facts) != 0) {
    if (errno == ENOENT || errno == ENOTDIR)
      return fail(ErrorCode::mount_point_missing, kDoing, object, "there is no such directory", "mkdir -p " + object);
    if (errno == ENOTCONN)
      return fail(ErrorCode::mount_point_busy, kDoing, object, "it lies inside a mount whose server has ended");
    return fail_errno(errno, kDoing, object);
  }
  if (!S_ISDIR(facts.st_mode)) return fail(ErrorCode::mount_point_missing, kDoing, object, "it is not a directory");
  return check_empty(settled);
}

Result<void> take_down(const filesystem::path& settled, WhenBusy when_busy) {
  constexpr const char* kDoing = "unmount recovery points";
  const std::string object = settled.string();
  if (geteuid() == 0) {
    constexpr int kAbort = UMOUNT_NOFOLLOW | MNT_DETACH | MNT_FORCE;
    if (umount2(settled.c_str(), when_busy == WhenBusy::abort ? kAbort : UMOUNT_NOFOLLOW) == 0) return {};
    // MNT_FORCE ends the FUSE connection, so that open files fail instead of keeping their server alive.
    if (errno == EBUSY && when_busy == WhenBusy::detach && umount2(settled.c_str(), kAbort) == 0) return {};
    if (errno == EBUSY) return fail(ErrorCode::mount_point_busy, kDoing, object, "files below it are open");
    if (errno == EINVAL || errno == ENOENT)
      return fail(ErrorCode::not_mounted, kDoing, object, "nothing is mounted there");
    return fail_errno(errno, kDoing, object, errno == EPERM ? ErrorCode::permission_denied : ErrorCode::mount_failed);
  }
  if (when_busy == WhenBusy::abort) {
    CAIRN_TRY(const auto mount, mounted_at(settled));
    if (mount) (void)abort_connection(mount->device);
  }
  const int status = run_fusermount(settled, when_busy);
  if (status == 0) return {};
  if (status < 0 || status == 127)
    return fail(ErrorCode::mount_failed, kDoing, object, "fusermount3 cannot be run; is the package fuse3 installed?");
  CAIRN_TRY(const auto still, mounted_at(settled));
  if (!still) return fail(ErrorCode::not_mounted, kDoing, object, "nothing is mounted there");
  return fail(ErrorCode::mount_point_busy, kDoing, object, "files below it are open, or another user has mounted it");
}

}  // namespace cairn
