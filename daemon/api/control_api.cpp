// SPDX-License-Identifier: GPL-3.0-or-later
// What the API answers: routes and long polls. cpp-httplib reads and writes HTTP, between whole texts; connections are
// the gate's.
// Exceptions are caught where a request enters.
#include "daemon/api/control_api.h"

#include <fmt/core.h>
#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>
#include <vector>

#include "config/base/json.h"
#include "daemon/api/api_requests.h"
#include "daemon/api/request_gate.h"
#include "daemon/queue/job_record.h"
#include "daemon/service/service.h"

namespace cairn {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kMaxWaiting = 8;           // long polls at once: other requests always find a thread
constexpr milliseconds kWaitSlice{250};  // how soon a long poll sees that the server stops
constexpr const char* kSeeApi = "see daemon/API.md for what can be asked";

// A whole request to be read, and its answer: what the gate gives and takes.
class WholeRequest final : public httplib::Stream {
 public:
  explicit WholeRequest(std::string_view request) : left_(request) {}
  [[nodiscard]] bool is_readable() const override { return true; }
  [[nodiscard]] bool is_writable() const override { return true; }
  ssize_t read(char* into, std::size_t size) override {
    const std::size_t count = std::min(size, left_.size());
    left_.copy(into, count);
    left_.remove_prefix(count);
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* from, std::size_t size) override {
    answer_.append(from, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  [[nodiscard]] socket_t socket() const override { return 0; }  // no descriptor; a number that select(2) could take
  std::string take_answer() { return std::move(answer_); }

 private:
  std::string_view left_;
  std::string answer_;
};

// cpp-httplib's reading, routing and writing of HTTP, without its sockets.
class HttpServer : public httplib::Server {
 public:
  std::string answer_to(const std::string& request) {
    WholeRequest whole(request);
    bool closed = true;
    (void)process_request(whole, true, closed, nullptr);
    return whole.take_answer();
  }
};

// The words of the path. Taken apart as sent, and decoded after that: a %2F belongs to a name.
std::vector<std::string> segments_of(std::string_view target) {
  std::vector<std::string> segments;
  std::string_view left = target.substr(0, target.find_first_of("?#"));
  while (!left.empty()) {
    left.remove_prefix(1);
    const auto slash = std::min(left.find('/'), left.size());
    segments.push_back(httplib::detail::decode_url(std::string(left.substr(0, slash)), false));
    left.remove_prefix(slash);
  }
  return segments;
}

void answer(httplib::Response& response, int status, const json& document) {
  response.status = status;
  response.set_content(json_text(document) + "\n", "application/json");
}

void answer_error(httplib::Response& response, int status, const Error& error) {
  answer(response, status, json{{"error", to_json(error)}});
}

void answer_result(httplib::Response& response, const Result<json>& result, int status = 200) {
  if (result)
    answer(response, status, *result);
  else
    answer_error(response, to_http_status(result.error()), result.error());
}

// What the library itself refuses, before a handler sees it.
void answer_refused(const httplib::Request& request, httplib::Response& response) {
  if (!response.body.empty()) return;
  std::string because = fmt::format("the request was refused with HTTP status {}", response.status);
  if (response.status == 413) because = fmt::format("the body is larger than {} bytes", kMaxBody);
  if (response.status == 414) because = "the path is too long";
  answer_error(response, response.status,
               Error{ErrorCode::used_wrongly, "answer", request.method + " " + request.path, because, 0, kSeeApi});
}

// The same, for what no request was read of.
std::string refusal_text(int status, const Error& error) {
  const std::string body = json_text(json{{"error", to_json(error)}}) + "\n";
  return fmt::format(
      "HTTP/1.1 {} Refused\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
      status, body.size(), body);
}

}  // namespace

struct ControlApi::State {
  explicit State(Service& the_service) : service(the_service) {}

  Service& service;
  HttpServer server;
  std::atomic<bool> stopping = false;
  std::atomic<int> waiting = 0;
  std::unique_ptr<RequestGate> gate;  // its threads use what stands above

  void dispatch(const httplib::Request& request, httplib::Response& response) {
    const std::vector<std::string> path_parts = segments_of(request.target);
    const bool get = request.method == "GET" || request.method == "HEAD";
    const bool post = request.method == "POST";
    const auto is = [&](std::initializer_list<std::string_view> words) {
      return std::equal(
          words.begin(), words.end(), path_parts.begin(), path_parts.end(),
          [](std::string_view word, const std::string& part) { return word == "*" ? !part.empty() : word == part; });
    };
    struct Route {
      std::initializer_list<std::string_view> words;
      bool method_fits;
      std::initializer_list<std::string_view> parameters;
      void (State::*handle)(const httplib::Request&, const std::vector<std::string>&, httplib::Response&);
    };
    const Route routes[] = {
        {{"v1", "version"}, get, {}, &State::get_version},
        {{"v1", "status"}, get, {}, &State::get_status},
        {{"v1", "points"}, get, {"machine", "deleted"}, &State::get_points},
        {{"v1", "points", "*"}, get, {}, &State::get_point},
        {{"v1", "points", "*", "delete"}, post, {}, &State::post_delete},
        {{"v1", "points", "*", "undelete"}, post, {}, &State::post_undelete},
        {{"v1", "points", "*", "protect"}, post, {}, &State::post_protect},
        {{"v1", "prunes"}, post, {}, &State::post_prunes},
        {{"v1", "jobs"}, get, {"limit"}, &State::get_jobs},
        {{"v1", "jobs", "*"}, get, {"seen", "wait_ms"}, &State::get_job},
        {{"v1", "jobs", "*", "cancel"}, post, {}, &State::post_cancel},
        {{"v1", "backups"}, post, {}, &State::post_backups},
        {{"v1", "restores"}, post, {}, &State::post_restores},
        {{"v1", "verifications"}, post, {}, &State::post_verifications},
    };
    const std::string asked = request.method + " " + request.path;
    for (const Route& route : routes) {
      if (!is(route.words)) continue;
      if (!route.method_fits)
        return answer_error(
            response, 405,
            Error{ErrorCode::used_wrongly, "answer", asked, "this path is not for this method", 0, kSeeApi});
      for (const auto& [name, value] : request.params) {
        const bool known = std::find(route.parameters.begin(), route.parameters.end(), name) != route.parameters.end();
        if (!known || request.get_param_value_count(name) > 1)
          return answer_error(
              response, 400,
              Error{ErrorCode::used_wrongly, "answer", asked,
                    fmt::format("{} parameter \"{}\"", known ? "repeated" : "unknown", name), 0, kSeeApi});
      }
      return (this->*route.handle)(request, path_parts, response);
    }
    answer_error(response, 404, Error{ErrorCode::used_wrongly, "answer", asked, "there is no such path", 0, kSeeApi});
  }

  using Parts = std::vector<std::string>;

  void get_version(const httplib::Request&, const Parts&, httplib::Response& response) {
    answer(response, 200, json{{"version", CAIRN_VERSION}, {"api", 1}});
  }
  void get_status(const httplib::Request&, const Parts&, httplib::Response& response) {
    answer_result(response, service.status());
  }
  void get_points(const httplib::Request& request, const Parts&, httplib::Response& response) {
    std::optional<std::string> machine;
    if (request.has_param("machine")) machine = request.get_param_value("machine");
    auto deleted = flag_in(request, "deleted");
    if (!deleted) return answer_error(response, 400, deleted.error());
    answer_result(response, service.points(machine, *deleted ? PointsListed::deleted : PointsListed::present));
  }
  void get_point(const httplib::Request&, const Parts& parts, httplib::Response& response) {
    answer_result(response, service.point(parts[2]));
  }
  void get_jobs(const httplib::Request& request, const Parts&, httplib::Response& response) {
    auto limit = number_in(request, "limit", kDefaultJobsListed, kMaxJobsListed);
    answer_result(response, limit ? service.jobs(*limit) : Result<json>(pass_on(limit.error())));
  }
  void get_job(const httplib::Request& request, const Parts& parts, httplib::Response& response) {
    const auto seen = number_in(request, "seen", 0, std::numeric_limits<std::uint64_t>::max());
    const auto wait_ms = number_in(request, "wait_ms", 0, kMaxWaitMs);
    if (!seen) return answer_error(response, 400, seen.error());
    if (!wait_ms) return answer_error(response, 400, wait_ms.error());
    answer_result(response, *wait_ms == 0 ? service.job(parts[2]) : wait(parts[2], *seen, milliseconds(*wait_ms)));
  }
  void post_cancel(const httplib::Request&, const Parts& parts, httplib::Response& response) {
    answer_result(response, service.cancel_job(parts[2]));
  }
  void post_backups(const httplib::Request& request, const Parts&, httplib::Response& response) {
    auto wanted = parse_request<BackupRequest>(request.body);
    answer_result(response, wanted ? service.start_backup(*wanted) : Result<json>(pass_on(wanted.error())), 202);
  }
  void post_restores(const httplib::Request& request, const Parts&, httplib::Response& response) {
    auto wanted = parse_request<RestoreRequest>(request.body);
    answer_result(response, wanted ? service.start_restore(*wanted) : Result<json>(pass_on(wanted.error())), 202);
  }

  void post_delete(const httplib::Request& request, const Parts& parts, httplib::Response& response) {
    const auto empty = parse_empty_request(request.body);
    answer_result(response, empty ? service.delete_point(parts[2]) : Result<json>(pass_on(empty.error())));
  }
  void post_undelete(const httplib::Request& request, const Parts& parts, httplib::Response& response) {
    const auto empty = parse_empty_request(request.body);
    answer_result(response, empty ? service.undelete_point(parts[2]) : Result<json>(pass_on(empty.error())));
  }
  void post_protect(const httplib::Request& request, const Parts& parts, httplib::Response& response) {
    auto wanted = parse_request<ProtectRequest>(request.body.empty() ? "{}" : request.body);
    if (wanted) wanted->point = parts[2];
    answer_result(response, wanted ? service.protect_point(*wanted) : Result<json>(pass_on(wanted.error())));
  }
  void post_prunes(const httplib::Request& request, const Parts&, httplib::Response& response) {
    auto wanted = parse_request<PruneRequest>(request.body);
    answer_result(response, wanted ? service.start_prune(*wanted) : Result<json>(pass_on(wanted.error())), 202);
  }

  static Result<bool> flag_in(const httplib::Request& request, const std::string& name) {
    return request.has_param(name) ? parse_flag(name, request.get_param_value(name)) : Result<bool>(false);
  }
  void post_verifications(const httplib::Request& request, const Parts&, httplib::Response& response) {
    auto wanted = parse_request<VerifyRequest>(request.body);
    answer_result(response, wanted ? service.start_verify(*wanted) : Result<json>(pass_on(wanted.error())), 202);
  }

  static Result<std::uint64_t> number_in(const httplib::Request& request, const std::string& name,
                                         std::uint64_t otherwise, std::uint64_t at_most) {
    if (!request.has_param(name)) return otherwise;
    return parse_number(name, request.get_param_value(name), at_most);
  }

  // Waits in slices, so that stopping is seen soon. When too many wait already, answers at once; the client asks again.
  Result<json> wait(const std::string& id, std::uint64_t seen, milliseconds at_most) {
    struct Waiting {
      explicit Waiting(std::atomic<int>& the_count) : count(the_count), number(++the_count) {}
      ~Waiting() { --count; }
      std::atomic<int>& count;
      int number;
    } const waiter(waiting);
    if (waiter.number > kMaxWaiting) at_most = std::min(at_most, kWaitSlice);
    const auto deadline = steady_clock::now() + at_most;
    for (;;) {
      const auto began = steady_clock::now();
      const auto left = std::chrono::duration_cast<milliseconds>(deadline - began);
      const auto slice = std::clamp(left, milliseconds(0), kWaitSlice);
      auto job = service.wait_job(id, seen, slice);
      if (!job || job->value("revision", seen + 1) != seen || stopping || left <= kWaitSlice) return job;
      // It came back early without news: nothing more will come (the queue has stopped, or the job is of the past).
      if (steady_clock::now() - began < slice / 2) return job;
    }
  }

  // A door: what the library does around a handler may throw, too.
  std::string answer_to(const std::string& request) noexcept {
    try {
      std::string text = server.answer_to(request);
      if (!text.empty()) return text;
      return refusal_text(400, Error{ErrorCode::used_wrongly, "answer", "a request", "it is not HTTP", 0, kSeeApi});
    } catch (const std::exception& error) {
      return refusal_text(500, Error{ErrorCode::internal, "answer", "a request", error.what(), 0, {}});
    }
  }

  void set_routes() {
    const auto handle = [this](const httplib::Request& request, httplib::Response& response) {
      try {
        dispatch(request, response);
      } catch (const std::exception& error) {
        answer_error(response, 500,
                     Error{ErrorCode::internal, "answer", request.method + " " + request.path, error.what(), 0, {}});
      }
    };
    // Every body is JSON, whatever it is said to be (curl -d says it is a form, which the library would take for
    // parameters). The request is the library's own variable, constant only in a handler's eyes.
    server.set_pre_routing_handler([](const httplib::Request& request, httplib::Response&) {
      const_cast<httplib::Request&>(request).headers.erase("Content-Type");  // NOLINT(*-const-cast)
      return httplib::Server::HandlerResponse::Unhandled;
    });
    server.Get(".*", handle);
    server.Post(".*", httplib::Server::Handler(handle));
    server.Put(".*", httplib::Server::Handler(handle));
    server.Patch(".*", httplib::Server::Handler(handle));
    server.Delete(".*", httplib::Server::Handler(handle));
    server.Options(".*", handle);
    server.set_error_handler(httplib::Server::Handler(answer_refused));
    server.set_payload_max_length(kMaxBody);
  }
};

ControlApi::ControlApi(std::unique_ptr<State> state) : state_(std::move(state)) {}

ControlApi::~ControlApi() {
  stop();
}

Result<std::unique_ptr<ControlApi>> ControlApi::start(Service& service, const std::filesystem::path& socket_path,
                                                      const GateLimits& limits) {
  auto state = std::make_unique<State>(service);
  state->set_routes();
  CAIRN_TRY(
      state->gate,
      RequestGate::open(
          socket_path,
          {[raw = state.get()](const std::string& request) { return raw->answer_to(request); }, refusal_text}, limits));
  return std::unique_ptr<ControlApi>(new ControlApi(std::move(state)));
}

void ControlApi::stop() {
  state_->stopping = true;
  state_->gate->stop();
}

}  // namespace cairn
