// SPDX-License-Identifier: GPL-3.0-or-later
// The control API over a real socket, spoken to as a script would, and by RemoteService.
#include "daemon/api/control_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "config/base/unique_fd.h"
#include "daemon/api/remote_service.h"
#include "daemon/api/unix_socket.h"
#include "daemon/queue/job_record.h"
#include "tests/daemon/api/api_client.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

TEST_F(ControlApiTest, TheSocketIsForOwnerAndGroupOnly) {
  struct stat facts{};
  ASSERT_EQ(stat(socket_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0660U);
  ASSERT_EQ(stat(socket_.parent_path().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0027U, 0U) << "closed to others, not writable by the group";
}

TEST_F(ControlApiTest, EveryRequestReachesTheService) {
  EXPECT_EQ(json::parse(ask("GET", "/v1/version").body)["api"], 1);
  EXPECT_EQ(ask("GET", "/v1/status").status, 200);
  EXPECT_EQ(ask("GET", "/v1/points").body, "[{\"machine\":\"web\"}]\n");
  EXPECT_EQ(ask("GET", "/v1/points?machine=web%2001").status, 200);
  EXPECT_EQ(ask("GET", "/v1/points/web@latest").status, 200);
  EXPECT_EQ(ask("GET", "/v1/jobs").status, 200);
  EXPECT_EQ(ask("GET", "/v1/jobs?limit=7").status, 200);
  EXPECT_EQ(ask("GET", "/v1/jobs/j1").status, 200);
  EXPECT_EQ(ask("POST", "/v1/jobs/j1/cancel").status, 200);
  EXPECT_EQ(ask("POST", "/v1/backups", R"({"machines":["a","b"]})").status, 202);
  EXPECT_EQ(ask("POST", "/v1/backups", R"({"all":true})").status, 202);
  EXPECT_EQ(ask("POST", "/v1/backups", R"({"machines":["a"],"full_read":true})").status, 202);
  EXPECT_EQ(ask("POST", "/v1/restores", R"({"point":"web@latest","to":"/out"})").status, 202);
  EXPECT_EQ(ask("POST", "/v1/restores", R"({"point":"w@l","to":"/o","disk":"root","force":true})").status, 202);
  EXPECT_EQ(ask("POST", "/v1/restores", R"({"point":"w@l","to":"/o","salvage":true})").status, 202);
  EXPECT_THAT(service_.asked(),
              testing::ElementsAre("status", "points -", "points web 01", "point web@latest", "jobs 50", "jobs 7",
                                   "job j1", "cancel j1", "backup machines=a,b", "backup all",
                                   "backup machines=a full_read", "restore point=web@latest to=/out",
                                   "restore point=w@l to=/o disk=root force", "restore point=w@l to=/o salvage"));
}

TEST_F(ControlApiTest, RefusesBodiesThatAreNotWhatIsAsked) {
  const std::vector<std::pair<std::string, std::string>> bodies = {
      {"/v1/backups", ""},
      {"/v1/backups", "{not json"},
      {"/v1/backups", "[]"},
      {"/v1/backups", "{}"},
      {"/v1/backups", R"({"machines":[]})"},
      {"/v1/backups", R"({"machines":"web"})"},
      {"/v1/backups", R"({"all":true,"full_read":1})"},
      {"/v1/backups", R"({"machines":[1]})"},
      {"/v1/backups", R"({"all":1})"},
      {"/v1/backups", R"({"all":true,"machines":["a"]})"},
      {"/v1/backups", R"({"machine":["a"]})"},
      {"/v1/backups", "\xff\xfe"},
      {"/v1/restores", R"({"to":"/out"})"},
      {"/v1/restores", R"({"point":"a@latest"})"},
      {"/v1/restores", R"({"point":1,"to":"/out"})"},
      {"/v1/restores", R"({"point":"a@latest","to":"/out","force":"yes"})"},
      {"/v1/restores", R"({"point":"a@latest","to":"/out","disc":"x"})"},
      {"/v1/restores", R"({"point":"a@latest","to":"/out","salvage":1})"},
      {"/v1/restores", R"({"point":"a@latest","to":"/out","salvage":true,"header_only":true})"},
      {"/v1/restores", std::string(60'000, '[')},
  };
  for (const auto& [path, body] : bodies) {
    SCOPED_TRACE(path + " " + body.substr(0, 60));
    const Answer answer = ask("POST", path, body);
    EXPECT_EQ(answer.status, 400);
    EXPECT_EQ(error_name(answer), "used-wrongly");
  }
  EXPECT_NE(ask("POST", "/v1/backups", R"({"machine":["a"]})").body.find("did you mean \\\"machines\\\""),
            std::string::npos);
  EXPECT_TRUE(service_.asked().empty());
}

TEST_F(ControlApiTest, RefusesABodyOverTheLimit) {
  const Answer answer = ask("POST", "/v1/backups", R"({"machines":[")" + std::string(70'000, 'x') + "\"]}");
  EXPECT_EQ(answer.status, 413);
  EXPECT_EQ(error_name(answer), "used-wrongly");
  EXPECT_TRUE(service_.asked().empty());
}

TEST_F(ControlApiTest, ABodyIsJsonWhateverItIsSaidToBe) {
  const std::string large = R"({"machines":[")" + std::string(20'000, 'x') + "\"]}";
  for (const std::string type :
       {"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"}) {
    SCOPED_TRACE(type);
    EXPECT_EQ(ask("POST", "/v1/backups", R"({"all":true})", type).status, 202);
    EXPECT_EQ(ask("POST", "/v1/backups", large, type).status, 202);
  }
  EXPECT_EQ(service_.asked().size(), 6U);
  EXPECT_EQ(ask("POST", "/v1/backups?all=true", R"({"all":true})").status, 400)
      << "parameters stand in the target only";
}

TEST_F(ControlApiTest, RefusalsPointAtTheApiNotAtTheCommandLine) {
  for (const auto& [method, path] : std::vector<std::pair<std::string, std::string>>{{"GET", "/v1/nothing"},
                                                                                     {"DELETE", "/v1/status"},
                                                                                     {"GET", "/v1/status?x=1"},
                                                                                     {"GET", "/v1/jobs?limit=x"},
                                                                                     {"POST", "/v1/backups"}}) {
    const json error = json::parse(ask(method, path).body)["error"];
    EXPECT_EQ(error["message"].get<std::string>().find("--help"), std::string::npos) << error;
    EXPECT_NE(error["resolution"].get<std::string>().find("API.md"), std::string::npos) << error;
  }
}

TEST_F(ControlApiTest, TellsWrongPathsMethodsAndParametersApart) {
  EXPECT_EQ(ask("GET", "/").status, 404);
  EXPECT_EQ(ask("GET", "/v2/status").status, 404);
  EXPECT_EQ(ask("GET", "/v1/points/").status, 404);
  EXPECT_EQ(ask("GET", "/v1/points/a/b").status, 404);
  EXPECT_EQ(ask("POST", "/v1/status").status, 405);
  EXPECT_EQ(ask("GET", "/v1/backups").status, 405);
  EXPECT_EQ(ask("DELETE", "/v1/points/a@latest").status, 405);
  EXPECT_EQ(ask("GET", "/v1/points?machin=web").status, 400);
  EXPECT_EQ(ask("GET", "/v1/jobs?limit=many").status, 400);
  EXPECT_EQ(ask("GET", "/v1/jobs?limit=-1").status, 400);
  EXPECT_EQ(ask("GET", "/v1/jobs?limit=1&limit=2").status, 400);
  EXPECT_EQ(ask("GET", "/v1/jobs/j1?wait_ms=99999999999").status, 400);
  EXPECT_EQ(error_name(ask("PUT", "/v1/backups", "x")), "used-wrongly");
  EXPECT_TRUE(service_.asked().empty());
}

TEST_F(ControlApiTest, ErrorsCarryTheirStatusNameAndWords) {
  const std::vector<std::pair<ErrorCode, int>> codes = {
      {ErrorCode::used_wrongly, 400},  {ErrorCode::permission_denied, 403}, {ErrorCode::no_such_machine, 404},
      {ErrorCode::no_such_point, 404}, {ErrorCode::job_conflict, 409},      {ErrorCode::target_missing, 422},
      {ErrorCode::shutting_down, 503}, {ErrorCode::no_space, 507},          {ErrorCode::chunk_damaged, 500}};
  for (const auto& [code, status] : codes) {
    const Error error{code, "do", "a thing", "of a reason", 0, "do another"};
    service_.fail_with(error);
    const Answer answer = ask("GET", "/v1/status");
    EXPECT_EQ(answer.status, status);
    EXPECT_EQ(error_name(answer), error.name());
    EXPECT_EQ(json::parse(answer.body)["error"]["message"], "cannot do a thing: of a reason; do another");
  }
}

TEST_F(ControlApiTest, AnExceptionIsAnAnswerToo) {
  service_.throw_next();
  const Answer answer = ask("GET", "/v1/status");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(error_name(answer), "internal");
  EXPECT_EQ(ask("GET", "/v1/status").status, 200);
}

TEST_F(ControlApiTest, ALongPollAnswersWhenTheJobChanges) {
  Answer answer;
  std::thread asker([&] { answer = ask("GET", "/v1/jobs/j1?seen=1&wait_ms=60000"); });
  service_.wait_until_somebody_waits();
  service_.set_revision(2);
  asker.join();
  EXPECT_EQ(json::parse(answer.body)["revision"], 2);
}

TEST_F(ControlApiTest, StopDoesNotWaitForLongPolls) {
  Answer answer;
  std::thread asker([&] { answer = ask("GET", "/v1/jobs/j1?seen=1&wait_ms=60000"); });
  service_.wait_until_somebody_waits();
  api_->stop();
  asker.join();
  EXPECT_EQ(answer.status, 200);
  EXPECT_FALSE(std::filesystem::exists(socket_));
  api_->stop();
}

TEST_F(ControlApiTest, StopCutsConnectionsThatSayNothing) {
  const UniqueFd idle = value_of(connect_unix_socket(socket_));
  const UniqueFd half = value_of(connect_unix_socket(socket_));
  send_all(half.get(), "POST /v1/backups HTTP/1.1\r\nContent-Length: 100\r\n\r\n{");
  EXPECT_EQ(ask("GET", "/v1/status").status, 200) << "others are served meanwhile";
  api_->stop();
  EXPECT_EQ(read_to_end(idle.get()).find("200"), std::string::npos);
}

TEST_F(ControlApiTest, ManyClientsAtOnce) {
  std::vector<std::thread> clients;
  std::atomic<int> good = 0;
  for (int i = 0; i < 40; ++i)
    clients.emplace_back([&] {
      auto remote = connect_to_daemon(socket_);
      if (remote && (*remote)->status()) ++good;
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(good, 40);
}

TEST_F(ControlApiTest, RefusesASocketThatSomebodyAnswersOn) {
  const auto second = ControlApi::start(service_, socket_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::daemon_running);
  EXPECT_EQ(ask("GET", "/v1/status").status, 200);
}

constexpr auto kPresent = PointsListed::present;

TEST_F(ControlApiTest, RemoteServiceAsksForWhatComesAndGoes) {
  const auto remote = value_of(connect_to_daemon(socket_));
  (void)value_of(remote->points(std::nullopt, PointsListed::deleted));
  (void)value_of(remote->points("we/b", PointsListed::deleted));
  EXPECT_EQ(value_of(remote->start_prune({"web", true, true, true, 1024}))["id"], "p1");
  EXPECT_EQ(value_of(remote->start_prune({}))["id"], "p1");
  EXPECT_EQ(value_of(remote->delete_point("web@la/test"))["name"], "web@la/test");
  EXPECT_EQ(value_of(remote->undelete_point("web@1"))["name"], "web@1");
  EXPECT_EQ(value_of(remote->protect_point({"web@1", true, {}}))["name"], "web@1");
  EXPECT_EQ(value_of(remote->protect_point({"web@2", false, parse_iso_time("2027-01-31T00:00:00Z")}))["name"], "web@2");
  EXPECT_THAT(service_.asked(),
              testing::IsSupersetOf({"deleted points -", "deleted points we/b",
                                     "prune machine=web dry_run accept_clock accept_damage rate=1024", "prune",
                                     "delete web@la/test", "undelete web@1", "protect web@1 off",
                                     "protect web@2 until=2027-01-31T00:00:00Z"}));
}

TEST_F(ControlApiTest, RefusesWrongRequestsAboutPoints) {
  for (const auto& [path, body] : std::vector<std::pair<std::string, std::string>>{
           {"/v1/points/a@b/protect", R"({"until":"tomorrow"})"},
           {"/v1/points/a@b/protect", R"({"until":"2027-01-31T00:00:00Z","off":true})"},
           {"/v1/points/a@b/delete", R"({"yes":true})"},
           {"/v1/points/a@b/undelete", "[]"},
           {"/v1/prunes", R"({"rate":-1})"},
           {"/v1/prunes", R"({"machines":["a"]})"},
           {"/v1/prunes", R"({"dry_run":1})"}})
    EXPECT_EQ(ask("POST", path, body).status, 400) << path << " " << body;
  EXPECT_EQ(ask("GET", "/v1/points?deleted=yes").status, 400);
  EXPECT_EQ(ask("GET", "/v1/prunes").status, 405);
  EXPECT_TRUE(service_.asked().empty());
}

TEST_F(ControlApiTest, RemoteServiceAsksForVerifying) {
  const auto remote = value_of(connect_to_daemon(socket_));
  (void)value_of(remote->start_verify({}));
  (void)value_of(remote->start_verify({12.5, true, "/mnt/copy", true, 1000}));
  EXPECT_EQ(service_.asked(), (std::vector<std::string>{
                                  "verify", "verify data_percent=12.5 repair from=/mnt/copy accept_gaps rate=1000"}));
}

TEST_F(ControlApiTest, RefusesWrongRequestsToVerify) {
  for (const char* body : {R"({"data_percent":101})", R"({"data_percent":-1})", R"({"data_percent":"all"})",
                           R"({"from":"/mnt"})", R"({"rate":-1})", R"({"repair":"yes"})", R"({"data":10})", "[]"})
    EXPECT_EQ(ask("POST", "/v1/verifications", body).status, 400) << body;
  EXPECT_EQ(ask("GET", "/v1/verifications").status, 405);
  EXPECT_TRUE(service_.asked().empty());
}

TEST_F(ControlApiTest, RemoteServiceGivesTheSameResults) {
  const auto remote = value_of(connect_to_daemon(socket_));
  EXPECT_EQ(value_of(remote->points(std::nullopt, kPresent)), value_of(service_.points(std::nullopt, kPresent)));
  EXPECT_EQ(value_of(remote->points("we/b ?&", kPresent)), value_of(service_.points("x", kPresent)));
  EXPECT_EQ(value_of(remote->point("web@la?t/e st#%")), (json{{"name", "web@la?t/e st#%"}}));
  EXPECT_EQ(value_of(remote->status()), value_of(service_.status()));
  EXPECT_EQ(value_of(remote->jobs(3)), json::array());
  EXPECT_EQ(value_of(remote->job("j1"))["id"], "j1");
  EXPECT_EQ(value_of(remote->start_backup({{"a", "b"}, false})), (json{{"jobs", json::array()}}));
  EXPECT_EQ(value_of(remote->start_backup({{}, true})), (json{{"jobs", json::array()}}));
  EXPECT_EQ(value_of(remote->start_backup({{"c"}, false, true})), (json{{"jobs", json::array()}}));
  EXPECT_EQ(value_of(remote->start_restore({{.force = true}, "web@latest", "/out", "root"}))["id"], "r1");
  EXPECT_EQ(value_of(remote->start_restore({{.force = true, .salvage = true}, "web@latest", "/out", "root"}))["id"],
            "r1");
  EXPECT_EQ(value_of(remote->cancel_job("j1"))["id"], "j1");
  EXPECT_EQ(value_of(remote->wait_job("j1", 0, milliseconds(60'000)))["revision"], 1);
  EXPECT_THAT(
      service_.asked(),
      testing::IsSupersetOf({"points we/b ?&", "point web@la?t/e st#%", "jobs 3", "backup machines=a,b", "backup all",
                             "backup machines=c full_read", "restore point=web@latest to=/out disk=root force",
                             "restore point=web@latest to=/out disk=root force salvage", "cancel j1"}));
}

TEST_F(ControlApiTest, RemoteServiceGivesTheSameErrors) {
  const auto remote = value_of(connect_to_daemon(socket_));
  for (const Error& error : {Error{ErrorCode::no_such_machine, "back up", "wbe", "did you mean \"web\"?", 0, {}},
                             Error{ErrorCode::no_space, "write", "/srv/s", "", ENOSPC, "buy a disk"},
                             Error{ErrorCode::shutting_down, "start job", "", "", 0, {}}}) {
    service_.fail_with(error);
    const auto result = remote->status();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, error.code);
    EXPECT_EQ(result.error().message(), error.message());
    EXPECT_EQ(result.error().sys_errno, error.sys_errno);
  }
}

TEST_F(ControlApiTest, RemoteServiceSaysWhenTheDaemonWentAway) {
  const auto remote = value_of(connect_to_daemon(socket_));
  api_->stop();
  EXPECT_EQ(remote->status().error().code, ErrorCode::daemon_unreachable);
}

TEST(Connect, TellsWhyThereIsNoDaemon) {
  const TemporaryDirectory directory;
  const auto code_at = [](const std::filesystem::path& path) { return connect_to_daemon(path).error().code; };
  EXPECT_EQ(code_at(directory.path() / "none.sock"), ErrorCode::daemon_unreachable);
  EXPECT_EQ(code_at(directory.path() / "no" / "such" / "dir.sock"), ErrorCode::daemon_unreachable);
  std::ofstream(directory.path() / "file") << "x";
  EXPECT_EQ(code_at(directory.path() / "file"), ErrorCode::daemon_failed);
  EXPECT_EQ(code_at(directory.path() / std::string(150, 'x')), ErrorCode::daemon_failed);
}

// A socket without a listener, as a killed daemon leaves it.
void leave_stale_socket(const std::filesystem::path& path) {
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.string().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
}

TEST(Connect, AStaleSocketIsReplacedByTheNextDaemon) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "s.sock";
  leave_stale_socket(path);
  EXPECT_EQ(connect_to_daemon(path).error().code, ErrorCode::daemon_unreachable);
  FakeService service;
  const auto api = value_of(ControlApi::start(service, path));
  EXPECT_TRUE(connect_to_daemon(path));
}

TEST(Connect, AFileInTheSocketsPlaceIsLeftAlone) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "file";
  std::ofstream(path) << "precious";
  FakeService service;
  EXPECT_EQ(ControlApi::start(service, path).error().code, ErrorCode::daemon_failed);
  EXPECT_EQ(std::filesystem::file_size(path), 8U);
}

TEST(Connect, TheSocketBelongsToTheDaemonsGroup) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can take another group";
  const TemporaryDirectory directory;
  FakeService service;
  constexpr gid_t kOther = 12;
  const gid_t own = getegid();
  ASSERT_EQ(setegid(kOther), 0);
  const auto api = ControlApi::start(service, directory.path() / "run" / "s.sock");
  ASSERT_EQ(setegid(own), 0);
  ASSERT_TRUE(api);
  struct stat facts{};
  ASSERT_EQ(stat((directory.path() / "run" / "s.sock").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_gid, kOther);
  ASSERT_EQ(stat((directory.path() / "run").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_gid, kOther);
}

TEST(Connect, AMissingParentOfTheSocketsDirectoryIsNamed) {
  const TemporaryDirectory directory;
  FakeService service;
  const auto api = ControlApi::start(service, directory.path() / "no" / "run" / "s.sock");
  ASSERT_FALSE(api);
  EXPECT_NE(api.error().message().find((directory.path() / "no").string() + " is not a directory"), std::string::npos);
  EXPECT_EQ(api.error().message().find("dmesg"), std::string::npos);
}

TEST(Connect, ASocketThatMayNotBeOpenedIsPermissionDenied) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const TemporaryDirectory directory;
  ASSERT_EQ(chmod(directory.path().c_str(), 0755), 0);
  const auto path = directory.path() / "s.sock";
  FakeService service;
  const auto api = value_of(ControlApi::start(service, path));
  const pid_t child = fork();
  if (child == 0) {
    // Only this call is made in the child: other threads do not exist there.
    if (setegid(65534) != 0 || seteuid(65534) != 0) _exit(2);
    const auto connection = connect_unix_socket(path);
    _exit(!connection && connection.error().code == ErrorCode::permission_denied ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace cairn
