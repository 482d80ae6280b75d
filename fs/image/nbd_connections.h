// SPDX-License-Identifier: GPL-3.0-or-later
// NbdConnections: an export of an NBD server on this host, read over several connections at once (libnbd). The server
// is not trusted: what it says is checked, what it does not say in time is an error, and nothing is ever written to it.
// Protocol: https://github.com/NetworkBlockDevice/nbd, doc/proto.md. Any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/base/bytes.h"
#include "config/base/guarded.h"
#include "config/base/result.h"
#include "config/base/unique_fd.h"

struct nbd_handle;

namespace cairn {

struct NbdLimits {
  // Used when the server allows several that see the same bytes (NBD_FLAG_CAN_MULTI_CONN); else one.
  unsigned connections = 4;
  // How long the server may take for the handshake, and for the next answer while some are awaited.
  std::chrono::milliseconds patience{60'000};
};

// What "base:allocation" says of a run of the export. Bytes.
struct NbdExtent {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  bool zero = false;  // reads as zeros
};

class NbdConnections {
 public:
  // Connects to "nbd+unix:///NAME?socket=/PATH"; other transports are refused. `object` names the disk in errors.
  // Errors: image_missing (no socket, or nobody listens), permission_denied, nbd_server_failed.
  static Result<std::unique_ptr<NbdConnections>> open(const std::string& uri, const std::string& object,
                                                      NbdLimits limits = {});
  // Takes sockets that are connected to one server; those that the server does not allow for are closed.
  // Errors: nbd_server_failed.
  static Result<std::unique_ptr<NbdConnections>> adopt(std::vector<UniqueFd> sockets, const std::string& object,
                                                       NbdLimits limits = {});
  ~NbdConnections();
  NbdConnections(const NbdConnections&) = delete;
  NbdConnections& operator=(const NbdConnections&) = delete;

  // Bytes.
  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] unsigned connections() const { return connections_; }
  // Whether extents() can tell anything.
  [[nodiscard]] bool tells_extents() const { return tells_extents_; }

  // Fills all of `to`. Waits for a free connection. Errors: image_unreadable (the server says so of a range, which the
  // message names; others can still be read), nbd_server_failed (nothing more can be read).
  Result<void> read(std::uint64_t offset, MutableBytes to);
  // Runs from `offset` on, without gaps; fewer bytes than asked for may be covered, never none, and never more.
  // `offset` and `size` are multiples of 512, or `size` ends with the export. Errors: as read().
  Result<std::vector<NbdExtent>> extents(std::uint64_t offset, std::uint64_t size);

 private:
  struct State {
    std::vector<nbd_handle*> all;
    std::vector<nbd_handle*> free;
    std::optional<Error> failure;  // of the server; stays
  };
  class Lease;

  NbdConnections(std::string object, NbdLimits limits) : object_(std::move(object)), limits_(limits) {}
  Result<void> add(const std::string& uri, UniqueFd socket);
  Result<void> first_facts(nbd_handle* nbd);
  void open_for_use();
  Result<Lease> borrow();
  Result<void> read_aligned(std::uint64_t offset, MutableBytes to);
  // Remembers that the server is of no more use.
  std::unexpected<Error> failed(Error error);
  [[nodiscard]] Error server_error(const std::string& because) const;

  const std::string object_;
  const NbdLimits limits_;
  std::uint64_t size_ = 0;
  std::uint64_t block_ = 1;            // what offsets and sizes must be multiples of
  std::uint64_t request_ = 256 << 10;  // bytes of one request
  bool tells_extents_ = false;
  bool multiple_ = false;
  unsigned connections_ = 0;
  Guarded<State> state_;
  std::condition_variable freed_;
};

}  // namespace cairn
