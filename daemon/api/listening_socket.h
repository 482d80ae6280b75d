// SPDX-License-Identifier: GPL-3.0-or-later
// ListeningSocket: the daemon's Unix socket in its place. unix(7). One thread at a time.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

#include "config/base/result.h"
#include "config/base/unique_fd.h"

namespace cairn {

class ListeningSocket {
 public:
  // Listens (mode 0660, non-blocking). The socket's directory is made (mode 0750) when missing, and a socket that
  // nobody answers on is replaced. Errors:
  //         daemon_running     somebody answers on the socket
  //         daemon_failed      something that is not a socket is in its place, or the path is too long for a socket
  //         permission_denied, io_error
  static Result<ListeningSocket> open(const std::filesystem::path& path);
  // Takes the socket away if it is still the one that was made.
  ~ListeningSocket();
  ListeningSocket(ListeningSocket&&) noexcept = default;
  ListeningSocket& operator=(ListeningSocket&&) noexcept = default;
  ListeningSocket(const ListeningSocket&) = delete;
  ListeningSocket& operator=(const ListeningSocket&) = delete;

  [[nodiscard]] int get() const { return fd_.get(); }
  // Whether the one that was made is still at its path: clients find no other.
  [[nodiscard]] bool in_place() const;

 private:
  ListeningSocket() = default;
  std::string path_;
  UniqueFd fd_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace cairn
