// SPDX-License-Identifier: GPL-3.0-or-later
// What clients that are slow, many or greedy can do to the control API: nothing to anybody else.
#include "daemon/api/request_gate.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>
#include <vector>

#include "daemon/api/request_text.h"
#include "tests/daemon/api/api_client.h"

namespace cairn {
namespace {

using std::chrono::milliseconds;

class RequestGateTest : public ControlApiTest {};

TEST_F(RequestGateTest, SlowClientsHoldNothing) {
  std::vector<UniqueFd> slow;
  for (int i = 0; i < 60; ++i) {
    slow.push_back(value_of(connect_unix_socket(socket_)));
    send_all(slow.back().get(),
             i % 2 == 0 ? "GET /v1/sta" : "POST /v1/backups HTTP/1.1\r\nContent-Length: 100\r\n\r\n{");
  }
  for (int i = 0; i < 20; ++i) {
    for (const UniqueFd& fd : slow) send_all(fd.get(), "x");
    EXPECT_EQ(ask("GET", "/v1/status").status, 200);
    EXPECT_EQ(ask("POST", "/v1/backups", R"({"all":true})").status, 202);
  }
}

TEST_F(RequestGateTest, AUserWithTooManyConnectionsLosesItsOldestOne) {
  std::vector<UniqueFd> idle;
  for (std::size_t i = 0; i < 2 * GateLimits().connections_of_user; ++i)
    idle.push_back(value_of(connect_unix_socket(socket_)));
  EXPECT_EQ(ask("GET", "/v1/status").status, 200);
  EXPECT_EQ(status_of(idle.front().get()), 429);
  send_all(idle.back().get(), "GET /v1/version HTTP/1.1\r\n\r\n");
  EXPECT_EQ(status_of(idle.back().get()), 200) << "the last ones are still there";
}

TEST_F(RequestGateTest, AnAnswerThatIsBeingSentIsNotCutToMakeRoom) {
  constexpr std::size_t kSize = std::size_t{8} * 1024 * 1024;  // more than a socket holds
  service_.answer_status_with(std::string(kSize, 'x'));
  const std::vector<GateLimits> few = {{.connections_of_user = 2}, {.connections = 2}};
  for (const GateLimits& limits : few) {
    const auto path = directory_.path() / "few.sock";
    const auto api = value_of(ControlApi::start(service_, path, limits));
    std::vector<UniqueFd> reading;
    for (int i = 0; i < 2; ++i) {
      reading.push_back(value_of(connect_unix_socket(path)));
      send_all(reading.back().get(), "GET /v1/status HTTP/1.1\r\n\r\n");
      pollfd begun{reading.back().get(), POLLIN, 0};
      ASSERT_EQ(poll(&begun, 1, 30'000), 1);
    }
    for (int i = 0; i < 5; ++i) {
      const UniqueFd more = value_of(connect_unix_socket(path));
      EXPECT_EQ(status_of(more.get()), 429) << "round " << i;
    }
    for (const UniqueFd& fd : reading) EXPECT_GT(read_to_end(fd.get()).size(), kSize);
  }
}

TEST_F(RequestGateTest, StatusAndCancelHaveAReserve) {
  service_.hold_points();
  std::vector<UniqueFd> held;
  for (std::size_t i = 0; i < GateLimits().requests_of_user; ++i) {
    held.push_back(value_of(connect_unix_socket(socket_)));
    send_all(held.back().get(), "GET /v1/points HTTP/1.1\r\n\r\n");
  }
  service_.wait_until_held(GateLimits().threads);
  Answer refused = ask("GET", "/v1/points");
  while (refused.status == 0) refused = ask("GET", "/v1/points");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(error_name(refused), "too-many-requests");
  EXPECT_EQ(ask("GET", "/v1/status").status, 200);
  EXPECT_EQ(ask("GET", "/v1/jobs").status, 200);
  EXPECT_EQ(ask("POST", "/v1/jobs/j1/cancel").status, 200);
  service_.let_points_go();
  for (const UniqueFd& fd : held) EXPECT_EQ(status_of(fd.get()), 200);
}

TEST_F(RequestGateTest, CancellingWorksThoughEveryLookHangs) {
  service_.hold_status();
  std::vector<UniqueFd> held;
  const std::size_t all = GateLimits().threads + GateLimits().reserve;
  for (std::size_t i = 0; i < all; ++i) {
    held.push_back(value_of(connect_unix_socket(socket_)));
    send_all(held.back().get(), "GET /v1/status HTTP/1.1\r\n\r\n");
  }
  service_.wait_until_held(all);
  EXPECT_EQ(ask("GET", "/v1/version").status, 200) << "what every command asks first";
  EXPECT_EQ(ask("POST", "/v1/jobs/j1/cancel").status, 200);
  service_.let_points_go();
  for (const UniqueFd& fd : held) EXPECT_EQ(status_of(fd.get()), 200);
}

TEST_F(RequestGateTest, WholeRequestsAndAnswersHaveATime) {
  const auto path = directory_.path() / "short.sock";
  const auto api =
      value_of(ControlApi::start(service_, path, {.request = milliseconds(50), .answer = milliseconds(50)}));
  const UniqueFd late = value_of(connect_unix_socket(path));
  std::thread drip([&] {
    // A byte at a time resets no clock: the answer comes in the middle of it. Fewer than a header may have.
    pollfd answered{late.get(), POLLIN, 0};
    for (int i = 0; i < 15'000 && send(late.get(), "x", 1, MSG_NOSIGNAL) == 1; ++i)
      if (poll(&answered, 1, 1) != 0) break;
  });
  EXPECT_EQ(status_of(late.get()), 408);
  (void)shutdown(late.get(), SHUT_RDWR);
  drip.join();
  service_.answer_status_with(std::string(std::size_t{8} * 1024 * 1024, 'x'));
  const UniqueFd unread = value_of(connect_unix_socket(path));
  send_all(unread.get(), "GET /v1/status HTTP/1.1\r\n\r\n");
  pollfd hung_up{unread.get(), POLLRDHUP, 0};
  ASSERT_EQ(poll(&hung_up, 1, 30'000), 1) << "who does not read its answer is cut";
}

TEST_F(RequestGateTest, ASocketThatWasRemovedIsMadeAnew) {
  for (const auto& gone : {socket_, socket_.parent_path()}) {
    std::filesystem::remove_all(gone);
    // Within a second or two; a command that is run in that time works by itself.
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!connect_unix_socket(socket_) && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
    EXPECT_EQ(ask("GET", "/v1/status").status, 200);
    struct stat facts{};
    ASSERT_EQ(stat(socket_.c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777U, 0660U);
  }
  api_->stop();
  EXPECT_FALSE(std::filesystem::exists(socket_));
}

TEST_F(RequestGateTest, WhatIsInThePlaceOfARemovedSocketIsLeftAlone) {
  std::filesystem::remove(socket_);
  std::ofstream(socket_) << "precious";
  api_->stop();
  EXPECT_EQ(std::filesystem::file_size(socket_), 8U);
}

TEST(RequestShape, TellsWhetherAllOfItIsThere) {
  using enum RequestShape::State;
  const std::string get = "GET /v1/status HTTP/1.1\r\nHost: c\r\n\r\n";
  for (std::size_t size = 0; size < get.size(); ++size) EXPECT_EQ(shape_of(get.substr(0, size)).state, incomplete);
  EXPECT_EQ(shape_of(get).state, whole);
  const std::string post = "POST /v1/backups HTTP/1.1\r\ncontent-length:  5 \r\n\r\n12345";
  for (std::size_t size = 0; size < post.size(); ++size) EXPECT_EQ(shape_of(post.substr(0, size)).state, incomplete);
  EXPECT_EQ(shape_of(post).state, whole);
  EXPECT_EQ(shape_of("POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n").state, whole) << "refused by who reads it";
  EXPECT_EQ(shape_of("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n").state, whole);
  EXPECT_EQ(shape_of("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n").status, 400);
  EXPECT_EQ(shape_of("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").status, 411);
  EXPECT_EQ(shape_of(std::string(kMaxHead, 'x')).status, 431);
  EXPECT_TRUE(shape_of("POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n").wants_continue);
}

TEST(RequestShape, KnowsWhatIsUrgent) {
  const auto urgency = [](const std::string& line) { return shape_of(line + " HTTP/1.1\r\n\r\n").urgency; };
  EXPECT_EQ(urgency("POST /v1/jobs/x/cancel"), Urgency::cancel);
  EXPECT_EQ(urgency("GET /v1/version"), Urgency::cancel);
  EXPECT_EQ(urgency("GET /v1/status"), Urgency::look);
  EXPECT_EQ(urgency("GET /v1/jobs?limit=3"), Urgency::look);
  EXPECT_EQ(urgency("GET /v1/jobs/x?seen=1&wait_ms=60000"), Urgency::usual);
  EXPECT_EQ(urgency("POST /v1/restores"), Urgency::usual);
  EXPECT_EQ(urgency("GET /v1/points"), Urgency::usual);
}

}  // namespace
}  // namespace cairn
