// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/api/listening_socket.h"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "daemon/api/unix_socket.h"

namespace cairn {
namespace {

constexpr int kBacklog = 128;
constexpr const char* kListening = "listen on";

// Makes room for the socket: its directory there, nothing in its place.
Result<void> clear_the_place(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.parent_path();
  if (mkdir(folder.c_str(), 0750) != 0 && errno != EEXIST) {
    if (errno == ENOENT || errno == ENOTDIR)
      return fail(ErrorCode::daemon_failed, "make directory", folder.string(),
                  fmt::format("{} is not a directory that exists", folder.parent_path().string()),
                  "make it, or set \"socket\" in the settings to another place");
    return fail_errno(errno, "make directory", folder.string());
  }
  auto other = connect_unix_socket(path);
  if (other)
    return fail(ErrorCode::daemon_running, kListening, path.string(), "somebody answers on this socket already");
  if (other.error().code != ErrorCode::daemon_unreachable) {
    Error error = std::move(other).error();
    error.doing = kListening;
    return pass_on(std::move(error));
  }
  struct stat facts{};
  if (lstat(path.c_str(), &facts) != 0) return {};
  if (!S_ISSOCK(facts.st_mode))
    return fail(ErrorCode::daemon_failed, kListening, path.string(), "something that is not a socket is in its place");
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(errno, "remove old socket", path.string());
  return {};
}

}  // namespace

Result<ListeningSocket> ListeningSocket::open(const std::filesystem::path& path) {
  CAIRN_CHECK(clear_the_place(path));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // connect_unix_socket() has refused what is too long.
  std::memcpy(address.sun_path, path.c_str(), path.native().size() + 1);
  ListeningSocket made;
  made.path_ = path.string();
  made.fd_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!made.fd_) return fail_errno(errno, kListening, made.path_);
  if (bind(made.fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno(errno, kListening, made.path_);
  struct stat facts{};
  if (chmod(path.c_str(), 0660) != 0 || listen(made.fd_.get(), kBacklog) != 0 || lstat(path.c_str(), &facts) != 0)
    return fail_errno(errno, kListening, made.path_);
  made.device_ = facts.st_dev;
  made.inode_ = facts.st_ino;
  return made;
}

ListeningSocket::~ListeningSocket() {
  if (fd_ && in_place()) unlink(path_.c_str());
}

bool ListeningSocket::in_place() const {
  struct stat facts{};
  return lstat(path_.c_str(), &facts) == 0 && facts.st_dev == device_ && facts.st_ino == inode_;
}

}  // namespace cairn
