// SPDX-License-Identifier: GPL-3.0-or-later
// A control API in front of a FakeService, and a client that speaks to its socket as a script would.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "config/base/unique_fd.h"
#include "daemon/api/control_api.h"
#include "daemon/api/unix_socket.h"
#include "tests/daemon/api/fake_service.h"
#include "tests/support/temporary_store.h"

namespace cairn {

struct Answer {
  int status = 0;
  std::string body;
};

inline void send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

inline std::string read_to_end(int fd) {
  std::string text;
  char piece[4096];
  for (ssize_t got = 0; (got = read(fd, piece, sizeof piece)) > 0;) text.append(piece, static_cast<std::size_t>(got));
  return text;
}

class ControlApiTest : public testing::Test {
 protected:
  void SetUp() override { api_ = value_of(ControlApi::start(service_, socket_)); }

  Answer ask(const std::string& method, const std::string& path, const std::string& body = {},
             const std::string& type = "application/json") {
    const UniqueFd fd = value_of(connect_unix_socket(socket_));
    send_all(fd.get(), method + " " + path + " HTTP/1.1\r\nHost: cairn\r\nConnection: close\r\nContent-Type: " + type +
                           "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    const std::string text = read_to_end(fd.get());
    Answer answer;
    if (text.size() > 12) answer.status = std::stoi(text.substr(9, 3));
    if (const auto end = text.find("\r\n\r\n"); end != std::string::npos) answer.body = text.substr(end + 4);
    return answer;
  }
  std::string error_name(const Answer& answer) {
    const auto document = nlohmann::json::parse(answer.body, nullptr, false);
    if (document.is_discarded() || !document.contains("error")) return "no error: " + answer.body;
    return document["error"]["name"].get<std::string>();
  }

  // Of the answer that comes; 0: none does.
  static int status_of(int fd) {
    const std::string text = read_to_end(fd);
    return text.size() > 12 ? std::stoi(text.substr(9, 3)) : 0;
  }

  TemporaryDirectory directory_;
  FakeService service_;
  const std::filesystem::path socket_ = directory_.path() / "run" / "cairnd.sock";
  std::unique_ptr<ControlApi> api_;
};

}  // namespace cairn
