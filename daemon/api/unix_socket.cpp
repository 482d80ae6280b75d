// SPDX-License-Identifier: GPL-3.0-or-later
// Connecting to a Unix socket, with an error for each reason. unix(7).
#include "daemon/api/unix_socket.h"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace cairn {

Result<UniqueFd> connect_unix_socket(const std::filesystem::path& path) {
  constexpr const char* kDoing = "connect to daemon on";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& text = path.native();
  if (text.size() >= sizeof address.sun_path)
    return fail(ErrorCode::daemon_failed, kDoing, text,
                fmt::format("the path has {} bytes, a socket's may have {}", text.size(), sizeof address.sun_path - 1),
                "set \"socket\" in the settings to a shorter path");
  std::memcpy(address.sun_path, text.c_str(), text.size() + 1);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, kDoing, text);
  int done = 0;
  do done = connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  while (done != 0 && errno == EINTR);
  if (done == 0) return fd;
  const int problem = errno;
  if (problem == EACCES || problem == EPERM) return fail_errno(problem, kDoing, text, ErrorCode::permission_denied);
  // A file that is no socket refuses like a socket without a listener.
  std::error_code ignored;
  const auto kind = std::filesystem::status(path, ignored).type();
  using std::filesystem::file_type;
  if (problem == ECONNREFUSED && kind != file_type::socket && kind != file_type::not_found)
    return fail(ErrorCode::daemon_failed, kDoing, text, "it is not a socket");
  return fail_errno(problem, kDoing, text, ErrorCode::daemon_unreachable);
}

}  // namespace cairn
