// SPDX-License-Identifier: GPL-3.0-or-later
// The gate's loop. A connection goes from receiving over working to answering, and then away; only the loop's thread
// touches it. Workers hand their answers over through `done`, and wake the loop.
#include "daemon/api/request_gate.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <list>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "config/base/guarded.h"
#include "config/base/log.h"
#include "config/base/unique_fd.h"
#include "daemon/api/api_requests.h"
#include "daemon/api/listening_socket.h"
#include "daemon/api/request_text.h"
#include "daemon/api/worker_pool.h"

namespace cairn {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kLookAtSocket{1000};  // how soon a socket that was removed is made anew
constexpr milliseconds kStopGrace{2000};     // for requests that are at work when the gate stops
constexpr milliseconds kRefusalTime{
    1000};  // for a refusal to be read, and for what is left of a request to be thrown away
constexpr milliseconds kNoMoreFiles{100};  // until accept(2) is tried again that failed for want of descriptors
constexpr std::size_t kMostReceived = kMaxHead + kMaxBody;
constexpr std::size_t kPiece = std::size_t{64} * 1024;
constexpr const char* kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

enum class Step { receiving, working, answering, draining };

struct Connection {
  std::uint64_t number = 0;
  UniqueFd fd;
  uid_t user = 0;
  Step step = Step::receiving;
  steady_clock::time_point until;  // what it does now ends by then
  std::string text;                // of the request, then of the answer
  std::size_t sent = 0;
  bool told_to_continue = false;
  bool whole = false;  // all of its request is here: it gets its answer, whoever else comes
  Urgency urgency = Urgency::usual;
};

using Connections = std::list<Connection>;

enum class Outcome { goes_on, over };

}  // namespace

struct RequestGate::State {
  State(std::filesystem::path the_path, ListeningSocket the_socket, Hooks the_hooks, const GateLimits& the_limits)
      : path(std::move(the_path)),
        hooks(std::move(the_hooks)),
        limits(the_limits),
        socket(std::move(the_socket)),
        workers(the_limits.threads, the_limits.reserve) {}

  const std::filesystem::path path;
  const Hooks hooks;
  const GateLimits limits;
  struct Answer {
    std::uint64_t number;
    std::string text;
  };
  struct Shared {
    std::vector<Answer> done;
    bool stopping = false;
  };
  Guarded<Shared> shared;
  UniqueFd wake;  // eventfd(2): something is in `shared`

  // Of the loop's thread.
  std::optional<ListeningSocket> socket;  // none: it could not be made anew yet, or all stops
  bool socket_trouble_said = false;
  Connections connections;
  std::uint64_t last_number = 0;
  steady_clock::time_point accept_again;
  steady_clock::time_point look_again;

  std::thread thread;
  WorkerPool workers;

  void wake_up() const {
    const std::uint64_t one = 1;
    (void)!write(wake.get(), &one, sizeof one);
  }

  // --- the end of requests

  void answer_with(Connection& connection, std::string text, milliseconds within) const {
    connection.text = std::move(text);
    connection.sent = 0;
    connection.step = Step::answering;
    connection.until = steady_clock::now() + within;
  }
  void refuse(Connection& connection, int status, ErrorCode code, std::string because) const {
    answer_with(
        connection,
        hooks.refuse(status, Error{code, "answer", "a request", std::move(because), 0,
                                   code == ErrorCode::used_wrongly ? "see daemon/API.md for what can be asked" : ""}),
        kRefusalTime);
  }

  // --- receiving

  void carry_out(Connection& connection) {
    if (connection.urgency == Urgency::usual && at_work(connection.user) >= limits.requests_of_user)
      return refuse(
          connection, 429, ErrorCode::too_many_requests,
          fmt::format("{} requests of user {} are waiting or at work", limits.requests_of_user, connection.user));
    connection.step = Step::working;
    workers.add(connection.urgency, [this, number = connection.number, request = std::exchange(connection.text, {})] {
      Answer answer{number, hooks.answer(request)};
      shared.lock()->done.push_back(std::move(answer));
      wake_up();
    });
  }

  std::size_t at_work(uid_t user) const {
    return static_cast<std::size_t>(std::ranges::count_if(connections, [&](const Connection& other) {
      return other.user == user && other.step == Step::working && other.urgency == Urgency::usual;
    }));
  }

  Outcome receive(Connection& connection) {
    char piece[kPiece];
    const ssize_t got =
        recv(connection.fd.get(), piece, std::min(sizeof piece, kMostReceived - connection.text.size()), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Outcome::goes_on;
    if (got <= 0) return Outcome::over;
    connection.text.append(piece, static_cast<std::size_t>(got));
    const RequestShape shape = shape_of(connection.text);
    connection.urgency = shape.urgency;
    if (shape.state == RequestShape::State::whole) {
      connection.whole = true;
      carry_out(connection);
    } else if (shape.state == RequestShape::State::refused) {
      refuse(connection, shape.status, ErrorCode::used_wrongly, shape.because);
    } else if (shape.wants_continue && !connection.told_to_continue) {
      connection.told_to_continue = true;
      const std::string_view text = kContinue;
      (void)send(connection.fd.get(), text.data(), text.size(), MSG_NOSIGNAL);  // who gets nothing sends all the same
    }
    return Outcome::goes_on;
  }

  // --- answering

  Outcome send_more(Connection& connection) const {
    const ssize_t sent = send(connection.fd.get(), connection.text.data() + connection.sent,
                              connection.text.size() - connection.sent, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR ? Outcome::goes_on : Outcome::over;
    connection.sent += static_cast<std::size_t>(sent);
    if (connection.sent < connection.text.size()) return Outcome::goes_on;
    // Closing with bytes unread would take the answer from a client that has not read it yet (unix(7): ECONNRESET).
    (void)shutdown(connection.fd.get(), SHUT_WR);
    connection.step = Step::draining;
    connection.until = steady_clock::now() + kRefusalTime;
    char byte = 0;
    if (recv(connection.fd.get(), &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN) return Outcome::over;
    return drain(connection);
  }

  static Outcome drain(Connection& connection) {
    char piece[kPiece];
    const ssize_t got = recv(connection.fd.get(), piece, sizeof piece, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Outcome::goes_on;
    return got <= 0 ? Outcome::over : Outcome::goes_on;
  }

  Outcome go_on(Connection& connection) {
    switch (connection.step) {
      case Step::receiving:
        return receive(connection);
      case Step::answering:
        return send_more(connection);
      case Step::draining:
        return drain(connection);
      case Step::working:
        break;
    }
    return Outcome::goes_on;
  }

  // --- connections

  // Of those who have connections without a whole request: who has most, when there is no room for anybody.
  [[nodiscard]] std::optional<uid_t> greediest() const {
    std::optional<uid_t> user;
    std::ptrdiff_t most = 0;
    for (const Connection& one : connections) {
      if (one.whole) continue;
      const auto has = std::ranges::count(connections, one.user, &Connection::user);
      if (has > most) {
        most = has;
        user = one.user;
      }
    }
    return user;
  }

  // Ends the oldest connection of `user` that has not sent a whole request. Answers are not cut. What has come on them
  // is looked at first: one that was closed goes, and one whose request was there all the time stays.
  bool make_room(std::optional<uid_t> user) {
    if (!user) return false;
    const auto is_idle = [&](const Connection& one) { return one.user == *user && !one.whole; };
    for (auto at = connections.begin(); at != connections.end();) {
      const auto one = at++;
      if (!is_idle(*one) || one->step != Step::receiving || receive(*one) == Outcome::goes_on) continue;
      connections.erase(one);
      return true;
    }
    const auto oldest = std::ranges::find_if(connections, is_idle);
    if (oldest == connections.end()) return false;
    if (oldest->step == Step::receiving) {
      refuse(*oldest, 429, ErrorCode::too_many_requests,
             fmt::format("user {} has more than {} connections", *user, limits.connections_of_user));
      (void)send_more(*oldest);
    }
    connections.erase(oldest);
    return true;
  }

  [[nodiscard]] std::size_t connections_of(uid_t user) const {
    return static_cast<std::size_t>(std::ranges::count(connections, user, &Connection::user));
  }

  void take_connections() {
    for (;;) {
      UniqueFd fd(accept4(socket->get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd) {
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if (errno == EAGAIN) return;
        // No descriptors, or no memory: whoever waits waits a little longer.
        if (connections.empty() || !make_room(greediest())) accept_again = steady_clock::now() + kNoMoreFiles;
        return;
      }
      ucred who{};
      socklen_t size = sizeof who;
      if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) continue;
      Connection made;
      made.number = ++last_number;
      made.fd = std::move(fd);
      made.user = who.uid;
      made.until = steady_clock::now() + limits.request;
      // More than one may have to go: refused ones are there beyond the bound, until their answer is read.
      while (connections_of(who.uid) >= limits.connections_of_user && make_room(who.uid)) continue;
      while (connections.size() >= limits.connections && make_room(greediest())) continue;
      const std::size_t of_user = connections_of(who.uid);
      const bool room = of_user < limits.connections_of_user && connections.size() < limits.connections;
      if (!room) {
        refuse(
            made, 429, ErrorCode::too_many_requests,
            fmt::format("{} connections of user {} are waiting, at work, or reading their answer", of_user, who.uid));
        if (send_more(made) == Outcome::over) continue;
      }
      connections.push_back(std::move(made));
    }
  }

  // Somebody removed it, or its whole directory: nobody could ask or stop anything any more.
  void look_at_socket() {
    look_again = steady_clock::now() + kLookAtSocket;
    if (socket && socket->in_place()) return;
    socket.reset();
    auto made = ListeningSocket::open(path);
    if (!made) {
      if (!std::exchange(socket_trouble_said, true)) log_error("socket-lost", path.string(), made.error());
      return;
    }
    socket = *std::move(made);
    socket_trouble_said = false;
    log_event(LogLevel::warning, "socket-made-anew", path.string(), {{"because", "somebody removed it"}});
  }

  void take_answers(std::vector<Answer> done) {
    for (Answer& answer : done) {
      const auto connection = std::ranges::find(connections, answer.number, &Connection::number);
      if (connection == connections.end()) continue;
      answer_with(*connection, std::move(answer.text), limits.answer);
      if (send_more(*connection) == Outcome::over) connections.erase(connection);
    }
  }

  void end_late_ones(steady_clock::time_point now) {
    for (auto at = connections.begin(); at != connections.end();) {
      const auto one = at++;
      if (one->step == Step::working || now < one->until) continue;
      if (one->step == Step::receiving)
        refuse(*one, 408, ErrorCode::used_wrongly,
               fmt::format("it did not arrive within {} ms", limits.request.count()));
      else
        connections.erase(one);
    }
  }

  [[nodiscard]] int wait_ms(steady_clock::time_point end) const {
    for (const Connection& one : connections)
      if (one.step != Step::working) end = std::min(end, one.until);
    const auto left = std::chrono::ceil<milliseconds>(end - steady_clock::now());
    return static_cast<int>(std::clamp<milliseconds::rep>(left.count(), 0, kLookAtSocket.count()));
  }

  void serve() {
    std::optional<steady_clock::time_point> ends;  // set: it stops
    for (;;) {
      auto now = steady_clock::now();
      if (ends && (connections.empty() || now >= *ends)) break;
      if (!ends && now >= look_again) look_at_socket();
      std::vector<pollfd> waiting{{wake.get(), POLLIN, 0}};
      const bool accepting = socket && now >= accept_again;
      waiting.push_back({accepting ? socket->get() : -1, POLLIN, 0});
      std::vector<Connections::iterator> who;
      for (auto at = connections.begin(); at != connections.end(); ++at) {
        if (at->step == Step::working) continue;
        waiting.push_back({at->fd.get(), static_cast<short>(at->step == Step::answering ? POLLOUT : POLLIN), 0});
        who.push_back(at);
      }
      const auto wake_by = ends ? *ends : (accepting || !socket ? look_again : std::min(look_again, accept_again));
      if (poll(waiting.data(), waiting.size(), wait_ms(wake_by)) < 0 && errno != EINTR) break;
      for (std::size_t i = 0; i < who.size(); ++i)
        if (waiting[i + 2].revents != 0 && go_on(*who[i]) == Outcome::over) connections.erase(who[i]);
      if (waiting[0].revents != 0) {
        std::uint64_t times = 0;
        (void)!read(wake.get(), &times, sizeof times);
        auto now_shared = shared.lock();
        std::vector<Answer> done = std::exchange(now_shared->done, {});
        const bool stopping = now_shared->stopping;
        now_shared.held().unlock();
        take_answers(std::move(done));
        if (stopping && !ends) {
          ends = steady_clock::now() + kStopGrace;
          socket.reset();
          std::erase_if(connections, [](const Connection& one) { return one.step == Step::receiving; });
        }
      }
      if (!ends && waiting[1].revents != 0) take_connections();
      end_late_ones(steady_clock::now());
    }
    socket.reset();
    connections.clear();
  }
};

RequestGate::RequestGate(std::unique_ptr<State> state) : state_(std::move(state)) {}

RequestGate::~RequestGate() {
  stop();
}

Result<std::unique_ptr<RequestGate>> RequestGate::open(const std::filesystem::path& path, Hooks hooks,
                                                       const GateLimits& limits) {
  CAIRN_TRY(ListeningSocket socket, ListeningSocket::open(path));
  auto state = std::make_unique<State>(path, std::move(socket), std::move(hooks), limits);
  state->wake = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!state->wake) return fail_errno(errno, "listen on", path.string());
  state->look_again = steady_clock::now() + kLookAtSocket;
  state->thread = std::thread([raw = state.get()] { raw->serve(); });
  return std::unique_ptr<RequestGate>(new RequestGate(std::move(state)));
}

void RequestGate::stop() {
  if (!state_->thread.joinable()) return;
  state_->shared.lock()->stopping = true;
  state_->wake_up();
  state_->thread.join();
  state_->workers.stop();
}

}  // namespace cairn
