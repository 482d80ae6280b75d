// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/guest/message_socket.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <nlohmann/json.hpp>

#include "config/base/json.h"

namespace cairn {
namespace {

constexpr const char* kTalk = "speak with";
// An answer is a few objects deep.
constexpr JsonBounds kBounds{MessageSocket::kLongest, 32};

int milliseconds_until(Deadline until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, INT_MAX));
}

}  // namespace

std::string shown(std::string words) {
  constexpr std::size_t kMost = 300;
  if (words.size() > kMost) words.resize(kMost);
  std::ranges::replace_if(words, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return words;
}

Result<MessageSocket> MessageSocket::connect(const std::filesystem::path& path, std::string object, Deadline until) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string text = path.string();
  if (text.size() >= sizeof address.sun_path)
    return fail(ErrorCode::guest_unreachable, kTalk, object,
                fmt::format("the path of a socket has at most {} bytes", sizeof address.sun_path - 1));
  std::memcpy(address.sun_path, text.data(), text.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno(errno, kTalk, object);
  // EAGAIN: the listener has as many waiting as it takes.
  while (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EINTR) continue;
    if (errno != EAGAIN) {
      const ErrorCode code =
          errno == EACCES || errno == EPERM ? ErrorCode::permission_denied : ErrorCode::guest_unreachable;
      return fail_errno(errno, kTalk, object, code);
    }
    if (milliseconds_until(until) == 0)
      return fail(ErrorCode::guest_silent, kTalk, object, "others are waiting for it");
    // Nothing can be polled for here; the kernel has no event for "the backlog has room".
    ::poll(nullptr, 0, std::min(20, milliseconds_until(until)));
  }
  return MessageSocket(std::move(fd), std::move(object));
}

Result<void> MessageSocket::wait(short events, Deadline until) {
  pollfd one{fd_.get(), events, 0};
  int ready = 0;
  while ((ready = ::poll(&one, 1, milliseconds_until(until))) < 0 && errno == EINTR) {
  }
  if (ready < 0) return fail_errno(errno, kTalk, object_);
  if (ready == 0) return fail(ErrorCode::guest_silent, kTalk, object_, "it gave no answer in time");
  return {};
}

Result<void> MessageSocket::send_bytes(std::string_view bytes, Deadline until) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      CAIRN_CHECK(wait(POLLOUT, until));
    } else if (errno != EINTR) {
      return fail_errno(errno, kTalk, object_, ErrorCode::guest_unreachable);
    }
  }
  return {};
}

Result<void> MessageSocket::send(const nlohmann::json& message, Deadline until) {
  return send_bytes(json_text(message) + "\n", until);
}

Result<std::string> MessageSocket::line(Deadline until) {
  while (true) {
    if (const std::size_t end = buffer_.find('\n', looked_); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      looked_ = 0;
      if (line.ends_with('\r')) line.pop_back();
      return line;
    }
    looked_ = buffer_.size();
    if (buffer_.size() > kLongest)
      return fail(ErrorCode::guest_bad_answer, kTalk, object_,
                  fmt::format("it sent more than {} bytes without a line's end", kLongest));
    // Also of a side that never stops sending.
    if (std::chrono::steady_clock::now() >= until)
      return fail(ErrorCode::guest_silent, kTalk, object_, "it gave no answer in time");
    CAIRN_CHECK(wait(POLLIN, until));
    char bytes[16 * 1024];
    const ssize_t got = ::recv(fd_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0)
      buffer_.append(bytes, static_cast<std::size_t>(got));
    else if (got == 0)
      return fail(ErrorCode::guest_unreachable, kTalk, object_, "the connection was closed at the other end");
    else if (errno != EAGAIN && errno != EINTR)
      return fail_errno(errno, kTalk, object_, ErrorCode::guest_unreachable);
  }
}

Result<nlohmann::json> MessageSocket::message(Deadline until) {
  CAIRN_TRY(const std::string text, line(until));
  auto document = parse_json(text, kBounds);
  if (!document || !document->is_object())
    return fail(ErrorCode::guest_bad_answer, kTalk, object_,
                document ? std::string("what it sent is no JSON object") : "what it sent " + document.error().text());
  return *std::move(document);
}

}  // namespace cairn
