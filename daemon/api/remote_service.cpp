// SPDX-License-Identifier: GPL-3.0-or-later
// The client's end of the control API. Form: daemon/API.md.
#include "daemon/api/remote_service.h"

#include <fmt/core.h>
#include <httplib.h>
#include <sys/socket.h>

#include <cctype>
#include <nlohmann/json.hpp>
#include <utility>

#include "config/base/json.h"
#include "daemon/api/api_requests.h"
#include "daemon/api/unix_socket.h"
#include "daemon/queue/job_record.h"

namespace cairn {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kAnswerWithin{300};  // listing many points for the first time reads each of them
constexpr seconds kSlack{30};

class RemoteService : public Service {
 public:
  explicit RemoteService(std::string path) : path_(std::move(path)) {}

  Result<json> version() { return get("/v1/version"); }
  Result<json> points(const std::optional<std::string>& machine, PointsListed listed) override {
    std::string path = listed == PointsListed::deleted ? "/v1/points?deleted=true" : "/v1/points";
    if (machine) path += (path.ends_with("true") ? "&machine=" : "?machine=") + percent_encode(*machine);
    return get(path);
  }
  Result<json> point(const std::string& name) override { return get("/v1/points/" + percent_encode(name)); }
  Result<json> status() override { return get("/v1/status"); }
  Result<json> jobs(const JobFilter& filter) override { return get("/v1/jobs?" + query_of(filter)); }
  Result<json> job(const std::string& id) override { return get("/v1/jobs/" + percent_encode(id)); }
  Result<json> start_backup(const BackupRequest& request) override {
    return post(BackupRequest::kPath, body_of(request));
  }
  Result<json> start_restore(const RestoreRequest& request) override {
    return post(RestoreRequest::kPath, body_of(request));
  }
  Result<json> start_prune(const PruneRequest& request) override { return post(PruneRequest::kPath, body_of(request)); }
  Result<json> delete_point(const DeleteRequest& request) override {
    return post("/v1/points/" + percent_encode(request.point) + "/delete", body_of(request));
  }
  Result<json> undelete_point(const std::string& name) override {
    return post("/v1/points/" + percent_encode(name) + "/undelete", json::object());
  }
  Result<json> protect_point(const ProtectRequest& request) override {
    return post("/v1/points/" + percent_encode(request.point) + "/protect", body_of(request));
  }
  Result<json> start_verify(const VerifyRequest& request) override {
    return post(VerifyRequest::kPath, body_of(request));
  }
  Result<json> wait_job(const std::string& id, std::uint64_t seen, milliseconds at_most) override {
    const auto wait = std::min<milliseconds>(at_most, milliseconds(kMaxWaitMs));
    return get(fmt::format("/v1/jobs/{}?seen={}&wait_ms={}", percent_encode(id), seen, wait.count()),
               std::chrono::duration_cast<seconds>(wait) + kSlack);
  }
  Result<json> cancel_job(const std::string& id) override {
    return post("/v1/jobs/" + percent_encode(id) + "/cancel", json::object());
  }

 private:
  Result<json> get(const std::string& what, seconds within = kAnswerWithin) {
    return ask([&](httplib::Client& client) { return client.Get(what); }, within);
  }
  Result<json> post(const std::string& what, const json& body) {
    const std::string text = json_text(body);
    return ask([&](httplib::Client& client) { return client.Post(what, text, "application/json"); }, kAnswerWithin);
  }

  template <class Call>
  Result<json> ask(const Call& call, seconds within) {
    constexpr const char* kDoing = "ask daemon on";
    httplib::Client client(path_);
    client.set_address_family(AF_UNIX);
    client.set_connection_timeout(seconds(10));
    client.set_read_timeout(within);
    client.set_write_timeout(seconds(30));
    client.set_default_headers({{"Host", "cairn"}});
    const httplib::Result result = call(client);
    if (!result) {
      // The connection's own reason is the better one, when it has one.
      if (auto again = connect_unix_socket(path_); !again) return pass_on(std::move(again).error());
      return fail(ErrorCode::daemon_unreachable, kDoing, path_, httplib::to_string(result.error()));
    }
    auto parsed = parse_json(result->body);
    if (!parsed)
      return fail(ErrorCode::daemon_failed, kDoing, path_,
                  fmt::format("its answer (HTTP status {}) is not JSON", result->status));
    json document = *std::move(parsed);
    if (result->status >= 200 && result->status < 300) return document;
    const auto error = document.is_object() ? document.find("error") : document.end();
    if (error == document.end())
      return fail(ErrorCode::daemon_failed, kDoing, path_,
                  fmt::format("it answered with HTTP status {}", result->status));
    return pass_on(error_from_json(*error));
  }

  const std::string path_;
};

}  // namespace

Result<std::unique_ptr<Service>> connect_to_daemon(const std::filesystem::path& socket_path) {
  // Connected here first, where errno still says why it fails.
  if (auto connection = connect_unix_socket(socket_path); !connection) return pass_on(std::move(connection).error());
  auto service = std::make_unique<RemoteService>(socket_path.string());
  CAIRN_TRY(const json version, service->version());
  const auto api = version.is_object() ? version.find("api") : version.end();
  if (api == version.end() || *api != 1)
    return fail(ErrorCode::daemon_failed, "connect to daemon on", socket_path.string(),
                "what answers there speaks another version of the control API",
                "restart the daemon, so that it and this command are of the same version");
  return std::unique_ptr<Service>(std::move(service));
}

}  // namespace cairn
