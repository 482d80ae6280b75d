// SPDX-License-Identifier: GPL-3.0-or-later
// MessageSocket: JSON messages, one a line, over a Unix stream socket: the manner of QEMU's monitor (QMP,
// docs/interop/qmp-spec.rst), of its guest agent (docs/interop/qemu-ga.rst) and of our own helper. Who is at the other
// end may be a guest: what it sends is bounded in length and time, and nothing of it is believed. One thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "config/base/result.h"
#include "config/base/unique_fd.h"

namespace cairn {

using Deadline = std::chrono::steady_clock::time_point;
inline Deadline in(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

// Words of another side for our messages: one line of at most 300 bytes, without control characters.
std::string shown(std::string words);

class MessageSocket {
 public:
  // The longest line that is taken; QMP's answers about large block graphs have some hundred KiB.
  static constexpr std::size_t kLongest = std::size_t{8} * 1024 * 1024;

  // `object` names the other end in messages: "the monitor /run/web-01.qmp".
  // Errors: permission_denied; guest_unreachable: nothing listens there, or it is no socket.
  static Result<MessageSocket> connect(const std::filesystem::path& path, std::string object, Deadline until);
  MessageSocket(UniqueFd connected, std::string object) : fd_(std::move(connected)), object_(std::move(object)) {}

  // Errors of both: guest_silent: not before `until`; guest_unreachable: the other end has closed.
  Result<void> send_bytes(std::string_view bytes, Deadline until);
  Result<void> send(const nlohmann::json& message, Deadline until);  // with the line's end
  // The next line without its end, and without a carriage return. Errors: guest_bad_answer: longer than kLongest.
  Result<std::string> line(Deadline until);
  // Errors: guest_bad_answer: it is no JSON object.
  Result<nlohmann::json> message(Deadline until);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& object() const { return object_; }
  // Whether a line may be had without waiting.
  [[nodiscard]] bool has_line() const { return buffer_.find('\n') != std::string::npos; }

 private:
  Result<void> wait(short events, Deadline until);

  UniqueFd fd_;
  std::string object_;
  std::string buffer_;      // what came and was not taken yet
  std::size_t looked_ = 0;  // so much of it has no line's end
};

}  // namespace cairn
