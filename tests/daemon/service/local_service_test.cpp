// SPDX-License-Identifier: GPL-3.0-or-later
// What is asked of the service: lists, status, jobs, the journal, verifying.
#include "daemon/service/local_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "daemon/queue/journal.h"
#include "tests/daemon/service/local_service_fixture.h"

namespace cairn {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

TEST_F(LocalServiceTest, ListsPointsOldestFirstAndSuggestsNames) {
  add_disk("db", "root", kMiBytes, 3);
  const auto engine = open_engine();
  Service& service = engine->service();
  back_up(service, "web");
  clock_.advance(std::chrono::hours(1));
  back_up(service, "db");
  clock_.advance(std::chrono::hours(1));
  back_up(service, "web");
  const json all = value_of(service.points(std::nullopt, PointsListed::present));
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0]["name"], "web@20261121T020000Z");
  EXPECT_EQ(all[1]["name"], "db@20261121T030000Z");
  EXPECT_EQ(all[2]["point"], "20261121T040000Z");
  const auto disk = [](const char* name, std::uint64_t size) {
    return json{
        {"name", name}, {"size", size}, {"consistency", "crash"}, {"consistency_reason", ""}, {"suspect", nullptr}};
  };
  json disks = all[0]["disks"];
  for (json& row : disks) {
    EXPECT_EQ(row["encryption"], "unknown") << "its bytes are random";
    EXPECT_EQ(row["not_known"].size(), 1U);
    row.erase("encryption");
    row.erase("not_known");
  }
  EXPECT_EQ(disks, json::array({disk("root", 3 * kMiBytes), disk("data", kMiBytes + 12'345)}));
  EXPECT_EQ(value_of(service.points(std::nullopt, PointsListed::present)), all)
      << "the same from the rows that were kept";
  EXPECT_EQ(value_of(service.points("db", PointsListed::present)).size(), 1U);
  const auto slip = service.points("wbe", PointsListed::present);
  ASSERT_FALSE(slip);
  EXPECT_EQ(slip.error().code, ErrorCode::no_such_machine);
  EXPECT_THAT(slip.error().message(), testing::HasSubstr("web"));
  EXPECT_EQ(service.start_backup({{"wbe"}, false}).error().code, ErrorCode::no_such_machine);
  EXPECT_EQ(service.point("web@2099").error().code, ErrorCode::no_such_point);
  EXPECT_TRUE(value_of(service.point("web@latest")).is_object());
}

TEST_F(LocalServiceTest, BackupRequestsAreChecked) {
  const auto engine = open_engine();
  EXPECT_EQ(engine->service().start_backup({}).error().code, ErrorCode::used_wrongly);
  EXPECT_EQ(engine->service().start_backup({{"web"}, true}).error().code, ErrorCode::used_wrongly);
  EXPECT_EQ(value_of(engine->service().start_backup({{"web", "web"}, false}))["jobs"].size(), 1U);
}

TEST_F(LocalServiceTest, JobsStayInTheJournalForTheNextProcess) {
  std::string id;
  {
    const auto engine = open_engine();
    id = back_up(engine->service(), "web")["id"].get<std::string>();
  }
  const auto engine = open_engine();
  const json jobs = value_of(engine->service().jobs(JobFilter{10}));
  ASSERT_EQ(jobs.size(), 2U) << "the backup, and the prune that followed it";
  EXPECT_EQ(jobs[0]["kind"] == "backup" ? jobs[0]["id"] : jobs[1]["id"], id);
  EXPECT_EQ(value_of(engine->service().job(id))["state"], "Completed");
  EXPECT_EQ(value_of(engine->service().wait_job(id, 0, std::chrono::seconds(60)))["id"], id) << "does not wait";
  EXPECT_EQ(value_of(engine->service().cancel_job(id))["state"], "Completed");
  EXPECT_EQ(engine->service().job("none").error().code, ErrorCode::no_such_job);
  EXPECT_EQ(engine->service().cancel_job("none").error().code, ErrorCode::no_such_job);
}

TEST_F(LocalServiceTest, StatusNamesMachinesPointsAndNextRuns) {
  const auto engine = open_engine();
  back_up(engine->service(), "web");
  const json status = value_of(engine->service().status());
  EXPECT_EQ(status["daemon"]["running"], false);
  EXPECT_EQ(status["mount"]["state"], "not mounted") << "it was looked at, although no daemon serves it";
  EXPECT_EQ(status["store"]["points"], 1);
  EXPECT_GT(status["store"]["stored_bytes"], kMiBytes);
  EXPECT_GT(status["store"]["free_bytes"], 0);
  EXPECT_GT(status["store"]["total_bytes"], status["store"]["free_bytes"]);
  EXPECT_EQ(status["store"]["days_left"], nullptr) << "of one sample";
  EXPECT_EQ(status["jobs"]["elsewhere"], json::array());
  ASSERT_EQ(status["machines"].size(), 1U);
  const json& machine = status["machines"][0];
  EXPECT_EQ(machine["machine"], "web");
  EXPECT_EQ(machine["last_point"], "web@20261121T020000Z");
  EXPECT_EQ(machine["last_job"]["state"], "Completed");
  EXPECT_TRUE(machine["next_run"].is_string());

  Settings without = settings_;
  without.machines.clear();
  engine->replace_settings(std::move(without));
  const json after = value_of(engine->service().status());
  EXPECT_EQ(after["machines"][0]["in_settings"], false);
  EXPECT_EQ(after["machines"][0]["points"], 1);
}

TEST_F(LocalServiceTest, StatusKnowsTheDisksThatLibvirtKnows) {
  {
    const auto engine = open_engine();
    back_up(engine->service(), "web");
  }
  // From now on libvirt says which disks it has; status does not ask it.
  MachineSettings& machine = settings_.machines["web"];
  machine.disks.clear();
  machine.guest.kind = GuestSettings::Kind::libvirt;
  machine.guest.domain = "web";
  machine.guest.uri = "test:///nothing-listens-here";
  machine.left_out = {"data"};
  const auto engine = open_engine();
  const json status = value_of(engine->service().status());
  const json& disks = status["machines"][0]["disks"];
  ASSERT_EQ(disks.size(), 1U) << disks;
  EXPECT_EQ(disks[0]["disk"], "root");
  EXPECT_NE(disks[0]["tracking"], "unknown");
}

TEST_F(LocalServiceTest, AScheduledRunCutByAKilledProcessIsOwed) {
  const pid_t child = fork();
  if (child == 0) {
    fs::create_directory(settings_.state_dir);
    auto journal = Journal::open(settings_.state_dir / "journal.db");
    JobRecord record;
    record.id = "cut";
    record.object = "web";
    record.state = JobState::in_progress;
    record.trigger = JobTrigger::schedule;
    record.queued = clock_.now();
    if (journal && (*journal)->save(record) && (*journal)->set_schedule_mark("web", {clock_.now(), false, {}}))
      raise(SIGKILL);
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  const auto engine = open_engine(EngineRole::daemon);
  const ScheduleMark missed{clock_.now(), true, {}};
  EXPECT_EQ(*value_of(engine->journal()->schedule_mark("web")), missed);
  EXPECT_EQ(value_of(engine->service().job("cut"))["error"]["name"], "interrupted");
}

TEST_F(LocalServiceTest, ADamagedJournalStopsTheDaemonButNotACommand) {
  fs::create_directory(settings_.state_dir);
  std::ofstream(settings_.state_dir / "journal.db") << std::string(9000, 'x');
  EngineOptions options;
  options.role = EngineRole::daemon;
  EXPECT_EQ(Engine::open(settings_, options).error().code, ErrorCode::journal_damaged);
  const auto engine = open_engine();
  EXPECT_EQ(engine->journal(), nullptr);
  const auto told_of = [](const json& job) {
    return job["state"] == "CompletedWithWarnings" &&
           job["warnings"].dump().find("journal-damaged") != std::string::npos;
  };
  const json job = back_up(engine->service(), "web");
  EXPECT_TRUE(told_of(job)) << job;
  EXPECT_TRUE(told_of(restore(engine->service(), {{}, "web@latest", path("out"), {}})));
  EXPECT_EQ(value_of(engine->service().points("web", PointsListed::present))[0]["warnings"].size(), 0U)
      << "the point has nothing to do with it";
  EXPECT_EQ(value_of(engine->service().status())["journal"]["error"]["name"], "journal-damaged");
  EXPECT_EQ(engine->service().jobs(JobFilter{5}).error().code, ErrorCode::journal_damaged);
  EXPECT_EQ(engine->service().job("of an earlier day").error().code, ErrorCode::journal_damaged);
  EXPECT_EQ(value_of(engine->service().job(job["id"].get<std::string>()))["id"], job["id"]);
}

TEST_F(LocalServiceTest, ADamagedPointDoesNotHideTheOthers) {
  auto engine = open_engine();
  back_up(engine->service(), "web");
  clock_.advance(std::chrono::hours(1));
  back_up(engine->service(), "web");
  engine.reset();
  for (const auto& entry : fs::recursive_directory_iterator(path("store") / "points"))
    if (entry.path().filename().string().find("20261121T020000Z") != std::string::npos) {
      chmod(entry.path().c_str(), 0600);
      fs::resize_file(entry.path(), entry.file_size() / 2);
    }
  engine = open_engine();
  const json rows = value_of(engine->service().points("web", PointsListed::present));
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0]["error"]["name"], "point-damaged");
  EXPECT_FALSE(rows[1].contains("error"));
}

TEST_F(LocalServiceTest, AVerifyThatFindsDamageFailsAndHasItsReport) {
  const auto engine = open_engine();
  Service& service = engine->service();
  (void)back_up(service, "web");
  const auto verify = [&](VerifyRequest request) {
    return finish(service, value_of(service.start_verify(request))["id"].get<std::string>());
  };
  json job = verify({100});
  EXPECT_EQ(job["state"], "Completed") << job.dump(2);
  EXPECT_EQ(job["result"]["clean"], true);
  EXPECT_EQ(value_of(service.status())["verify"]["never_bytes"], 0);

  std::string largest;
  std::uintmax_t size = 0;
  for (const auto& entry : fs::recursive_directory_iterator(path("store") / "packs"))
    if (entry.is_regular_file() && entry.file_size() > size) largest = entry.path(), size = entry.file_size();
  {
    std::fstream pack(largest, std::ios::in | std::ios::out | std::ios::binary);
    pack.seekp(100'000);
    pack.write("damage", 6);
  }
  job = verify({100});
  EXPECT_EQ(job["state"], "Failed");
  EXPECT_EQ(job["error"]["name"], "damage-found");
  EXPECT_EQ(job["result"]["damage"]["points"].size(), 1U) << job.dump(2);
  const json status = value_of(service.status())["verify"];
  EXPECT_EQ(status["damage"]["points"].size(), 1U) << status.dump(2);

  // What the next backup stores again makes the point whole, and status says so.
  clock_.advance(std::chrono::seconds(60));
  EXPECT_EQ(back_up(service, "web")["state"], "Completed");
  EXPECT_EQ(verify({0, true})["state"], "Completed");
  EXPECT_EQ(value_of(service.status())["verify"]["damage"]["found"], nullptr);
}

TEST_F(LocalServiceTest, OneVerifyAtATimeAndSlicesAreJobsToo) {
  const auto engine = open_engine();
  (void)back_up(engine->service(), "web");
  const json slice = value_of(engine->service().start_scrub(std::chrono::days(30), false));
  EXPECT_EQ(slice["trigger"], "schedule");
  EXPECT_EQ(slice["object"], kVerifySlice);
  const json job = finish(engine->service(), slice["id"].get<std::string>());
  EXPECT_EQ(job["state"], "Completed") << job.dump(2);
  EXPECT_EQ(job["result"]["packs_read"], 1);
  EXPECT_EQ(engine->service().start_verify({0, false, "/mnt"}).error().code, ErrorCode::used_wrongly);
}

}  // namespace
}  // namespace cairn
