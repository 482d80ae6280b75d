// SPDX-License-Identifier: GPL-3.0-or-later
// RequestGate: takes connections on the daemon's socket, one request each, and lets only whole requests through to the
// threads that carry them out; their answers it writes itself. So a client that sends or reads slowly holds a
// connection and nothing else, and that only for a time. One thread of its own for all connections.
//
// Users have a bounded number of connections. Who opens more loses the one that has not sent its request for longest,
// so that idle connections keep no request out. A request that was sent whole gets its answer: when all are at work or
// have an answer to read, the new connection is refused. Looking and cancelling have a reserve (WorkerPool).
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "config/base/error.h"
#include "config/base/result.h"

namespace cairn {

// daemon/API.md says them to users.
struct GateLimits {
  std::chrono::milliseconds request{10'000};  // for a whole request to arrive
  std::chrono::milliseconds answer{60'000};   // for a whole answer to be read
  std::size_t connections = 256;
  std::size_t connections_of_user = 64;
  std::size_t requests_of_user = 48;  // at work or waiting; but for looking and cancelling
  std::size_t threads = 16;
  std::size_t reserve = 2;  // see WorkerPool
};

class RequestGate {
 public:
  struct Hooks {
    // Carries out a whole request: the bytes of its answer. Called on several threads; must not throw.
    std::function<std::string(const std::string& request)> answer;
    // The bytes of an answer that says why nothing is carried out.
    std::function<std::string(int status, const Error& error)> refuse;
  };

  // Listens and answers on return. Errors: as ListeningSocket::open.
  static Result<std::unique_ptr<RequestGate>> open(const std::filesystem::path& path, Hooks hooks,
                                                   const GateLimits& limits = {});
  // As stop().
  ~RequestGate();
  RequestGate(const RequestGate&) = delete;
  RequestGate& operator=(const RequestGate&) = delete;

  // Takes no more requests and removes the socket, lets those that are at work answer for a few seconds, cuts the rest,
  // and returns when no request is carried out any more. Safe to call twice.
  void stop();

 private:
  struct State;
  explicit RequestGate(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn
