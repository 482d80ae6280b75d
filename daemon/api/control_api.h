// SPDX-License-Identifier: GPL-3.0-or-later
// ControlApi: the HTTP server on the Unix socket, in front of a Service. Requests and answers: daemon/API.md.
// It has threads of its own; the service is called from them.
#pragma once

#include <filesystem>
#include <memory>

#include "config/base/result.h"
#include "daemon/api/request_gate.h"

namespace cairn {

class Service;

class ControlApi {
 public:
  // Listens and answers on return. A socket that is removed while this lives is made anew. `service` must outlive this.
  // Errors: as ListeningSocket::open (daemon_running, daemon_failed, permission_denied, io_error).
  static Result<std::unique_ptr<ControlApi>> start(Service& service, const std::filesystem::path& socket_path,
                                                   const GateLimits& limits = {});
  // As stop().
  ~ControlApi();
  ControlApi(const ControlApi&) = delete;
  ControlApi& operator=(const ControlApi&) = delete;

  // Takes no more requests, lets those that run end (a few seconds; then their connections are cut) and removes the
  // socket. Safe to call twice.
  void stop();

 private:
  struct State;
  explicit ControlApi(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn
