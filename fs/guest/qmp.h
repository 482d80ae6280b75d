// SPDX-License-Identifier: GPL-3.0-or-later
// Qmp: commands to a QEMU through its monitor socket (QEMU Machine Protocol, docs/interop/qmp-spec.rst). The monitor
// takes one client at a time: a second one connects and is not greeted. One thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "config/base/result.h"
#include "fs/guest/message_socket.h"

namespace cairn {

class Qmp {
 public:
  // Connects, waits for the greeting and leaves negotiation mode.
  // Errors: guest_busy: no greeting; those of MessageSocket::connect; guest_bad_answer.
  static Result<Qmp> connect(const std::filesystem::path& path, std::chrono::milliseconds within);

  // What the command returns. Events in between are passed over.
  // Errors: guest_refused: the command's own error, in QEMU's words; those of MessageSocket.
  Result<nlohmann::json> execute(std::string_view command, const nlohmann::json& arguments,
                                 std::chrono::milliseconds within);

  [[nodiscard]] const std::string& version() const { return version_; }  // "7.2.22"
  [[nodiscard]] const std::string& object() const { return socket_.object(); }

 private:
  explicit Qmp(MessageSocket socket) : socket_(std::move(socket)) {}

  MessageSocket socket_;
  std::string version_;
  unsigned number_ = 0;  // of the last command: its answer carries it
};

// The error that a QMP or guest agent answer {"error": {"class", "desc"}} is: guest_refused. What the other side wrote
// is cut to one line of at most 300 bytes.
std::unexpected<Error> refused(const nlohmann::json& answer, std::string_view command, const std::string& object);

}  // namespace cairn
