// SPDX-License-Identifier: GPL-3.0-or-later
// Backup and restore as jobs on real files and a real store, through LocalService as the daemon and the commands use
// it.
#include "daemon/service/local_service.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "daemon/backup/backup.h"
#include "daemon/process/state_lock.h"
#include "daemon/queue/job.h"
#include "daemon/queue/job_queue.h"
#include "daemon/queue/journal.h"
#include "daemon/restore/restore.h"
#include "tests/daemon/manual_clock.h"
#include "tests/daemon/service/served_engine.h"
#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::size_t kMiBytes = 1024 * 1024;

class LocalServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    start_crypto();
    NewKeySlot slot;
    slot.label = "test";
    slot.secret = SecretBytes::random(32);
    const fs::path key_file = path("store.key");
    {
      std::ofstream out(key_file, std::ios::binary);
      const ByteView bytes = std::as_const(slot.secret).reveal();
      out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    ASSERT_EQ(chmod(key_file.c_str(), 0600), 0);
    StoreParameters parameters;
    expect_ok(Store::create(path("store"), parameters, {&slot, 1}));
    settings_.file = path("cairn.yaml");
    settings_.store.path = path("store");
    settings_.store.key.key_file = key_file;
    settings_.state_dir = path("state");
    settings_.policies["default"].name = "default";
    add_disk("web", "root", 3 * kMiBytes, 1);
    add_disk("web", "data", kMiBytes + 12'345, 2);
    fs::create_directory(path("out"));
  }

  [[nodiscard]] fs::path path(const std::string& name) const { return directory_.path() / name; }

  void add_disk(const std::string& machine, const std::string& disk, std::size_t size, unsigned seed) {
    const fs::path image = path(machine + "-" + disk + ".raw");
    write_image(image, size, seed);
    MachineSettings& settings = settings_.machines[machine];
    settings.name = machine;
    DiskSettings row;
    row.name = disk;
    row.image = image;
    settings.disks.push_back(row);
  }
  // Data, then a hole as long, and so on.
  static void write_image(const fs::path& image, std::size_t size, unsigned seed) {
    std::ofstream out(image, std::ios::binary);
    std::mt19937_64 generator(seed);
    std::string run(256 * 1024, ' ');
    for (std::size_t at = 0; at < size; at += 2 * run.size()) {
      for (char& c : run) c = static_cast<char>(generator());
      out.seekp(static_cast<std::streamoff>(at));
      out.write(run.data(), static_cast<std::streamsize>(std::min(run.size(), size - at)));
    }
    out.close();
    fs::resize_file(image, size);
  }
  static std::string content(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::unique_ptr<ServedEngine> open_engine(EngineRole role = EngineRole::foreground) {
    EngineOptions options;
    options.role = role;
    options.clock = &clock_;
    return std::make_unique<ServedEngine>(value_of(Engine::open(settings_, options)));
  }
  static json finish(Service& service, const std::string& id) {
    json job = service.job(id).value();
    while (job["state"] == "Queued" || job["state"] == "InProgress")
      job = service.wait_job(id, job["revision"].get<std::uint64_t>(), std::chrono::seconds(60)).value();
    return job;
  }
  static json back_up(Service& service, const std::string& machine) {
    const json started = value_of(service.start_backup({{machine}, false}));
    return finish(service, started["jobs"][0]["id"].get<std::string>());
  }
  static json restore(Service& service, const RestoreRequest& request) {
    return finish(service, value_of(service.start_restore(request))["id"].get<std::string>());
  }
  [[nodiscard]] std::vector<std::string> files_in(const std::string& folder) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(path(folder))) names.push_back(entry.path().filename());
    return names;
  }

  TemporaryDirectory directory_;
  Settings settings_;
  ManualClock clock_;
};

TEST_F(LocalServiceTest, WhatWasBackedUpIsRestoredBitExactAndSparse) {
  const auto engine = open_engine();
  Service& service = engine->service();
  const json job = back_up(service, "web");
  ASSERT_EQ(job["state"], "Completed") << job.dump(2);
  EXPECT_EQ(job["point"], "web@20261121T020000Z");
  EXPECT_EQ(job["trigger"], "on-demand");
  EXPECT_EQ(job["error"], nullptr);
  EXPECT_EQ(job["result"]["proof"], "not-encrypted");
  EXPECT_EQ(job["result"]["disks"].size(), 2U);
  EXPECT_GT(job["result"]["new_bytes"], 0);
  EXPECT_EQ(job["progress"]["done_bytes"], job["progress"]["total_bytes"]);

  const json restored = restore(service, {"web@latest", path("out"), {}, false});
  ASSERT_EQ(restored["state"], "Completed") << restored.dump(2);
  EXPECT_THAT(files_in("out"), testing::UnorderedElementsAre("root.img", "data.img"));
  for (const char* disk : {"root", "data"})
    EXPECT_EQ(content(path("out") / (std::string(disk) + ".img")), content(path(std::string("web-") + disk + ".raw")));
  struct stat facts{};
  ASSERT_EQ(stat((path("out") / "root.img").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);
  EXPECT_LT(facts.st_blocks * 512, static_cast<blkcnt_t>(2 * kMiBytes)) << "half of it is holes";
  EXPECT_EQ(restored["result"]["files"][0]["disk"], "root");
  EXPECT_EQ(restored["progress"]["done_bytes"], restored["progress"]["total_bytes"]);
}

TEST_F(LocalServiceTest, ASecondBackupInTheSameSecondIsDatedOneLater) {
  const auto engine = open_engine();
  EXPECT_EQ(back_up(engine->service(), "web")["point"], "web@20261121T020000Z");
  const json second = back_up(engine->service(), "web");
  EXPECT_EQ(second["point"], "web@20261121T020001Z");
  EXPECT_EQ(second["result"]["new_bytes"], 0) << "nothing changed";
}

TEST_F(LocalServiceTest, APointLaterThanTheClockIsWarnedAbout) {
  const auto engine = open_engine();
  back_up(engine->service(), "web");
  clock_.set(utc("2026-11-20T02:00:00Z"));
  const json job = back_up(engine->service(), "web");
  EXPECT_EQ(job["state"], "CompletedWithWarnings");
  EXPECT_THAT(job["warnings"][0].get<std::string>(), testing::HasSubstr("clock"));
}

TEST_F(LocalServiceTest, AMissingDiskFailsTheJobBeforeAnythingIsRead) {
  settings_.machines["web"].disks[1].image = path("gone.raw");
  const auto engine = open_engine();
  const json job = back_up(engine->service(), "web");
  EXPECT_EQ(job["state"], "Failed");
  EXPECT_EQ(job["error"]["name"], "image-missing");
  EXPECT_THAT(job["error"]["message"].get<std::string>(), testing::HasSubstr("gone.raw"));
  EXPECT_EQ(job["point"], nullptr);
  EXPECT_TRUE(value_of(engine->service().points(std::nullopt, PointsListed::present)).empty());
}

TEST_F(LocalServiceTest, TheDefinitionIsKeptAndAMissingOneIsAWarning) {
  settings_.machines["web"].definition = path("web.xml");
  std::ofstream(path("web.xml")) << "<domain/>";
  const auto engine = open_engine();
  EXPECT_EQ(back_up(engine->service(), "web")["state"], "Completed");
  EXPECT_EQ(value_of(engine->store().load_point(value_of(engine->store().find_point("web@latest")))).definition,
            "<domain/>");
  fs::remove(path("web.xml"));
  EXPECT_EQ(back_up(engine->service(), "web")["state"], "CompletedWithWarnings");
  ASSERT_EQ(mkfifo(path("web.xml").c_str(), 0600), 0);  // must not hang
  EXPECT_EQ(back_up(engine->service(), "web")["state"], "CompletedWithWarnings");
  fs::remove(path("web.xml"));
  std::ofstream(path("web.xml")) << std::string(kMiBytes + 1, 'x');
  EXPECT_EQ(back_up(engine->service(), "web")["state"], "CompletedWithWarnings");
}

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
  EXPECT_EQ(
      all[0]["disks"],
      (json::array({{{"name", "root"}, {"size", 3 * kMiBytes}}, {{"name", "data"}, {"size", kMiBytes + 12'345}}})));
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

TEST_F(LocalServiceTest, RestoreChecksItsTargetAtOnce) {
  const auto engine = open_engine();
  Service& service = engine->service();
  back_up(service, "web");
  const auto code = [&](const RestoreRequest& request) { return service.start_restore(request).error().code; };
  EXPECT_EQ(code({"web@latest", "relative/dir", {}, false}), ErrorCode::used_wrongly);
  EXPECT_EQ(code({"web@latest", path("none"), {}, false}), ErrorCode::target_missing);
  EXPECT_EQ(code({"web@latest", path("store.key"), {}, false}), ErrorCode::target_missing);
  EXPECT_EQ(code({"web@latest", path("out"), "rot", false}), ErrorCode::no_such_disk);
  EXPECT_EQ(code({"web@2001", path("out"), {}, false}), ErrorCode::no_such_point);
  std::ofstream(path("out") / "root.img") << "precious";
  EXPECT_EQ(code({"web@latest", path("out"), {}, false}), ErrorCode::target_exists);
  EXPECT_EQ(content(path("out") / "root.img"), "precious");
  EXPECT_EQ(restore(service, {"web@latest", path("out"), "data", false})["state"], "Completed")
      << "the other disk is free";
  EXPECT_EQ(restore(service, {"web@latest", path("out"), "root", true})["state"], "Completed");
  EXPECT_EQ(content(path("out") / "root.img"), content(path("web-root.raw")));
  EXPECT_EQ(files_in("out").size(), 2U) << "no temporary file is left";
}

TEST_F(LocalServiceTest, ACancelledOrFailedRestoreLeavesNothing) {
  const auto engine = open_engine();
  back_up(engine->service(), "web");
  RestoreTask task;
  task.point = value_of(engine->store().find_point("web@latest"));
  task.to = path("out");
  std::stop_source stop;
  stop.request_stop();
  JobContext cancelled(stop.get_token());
  EXPECT_EQ(run_restore(engine->store(), task, cancelled).error().code, ErrorCode::cancelled);
  EXPECT_TRUE(files_in("out").empty());

  for (const auto& entry : fs::recursive_directory_iterator(path("store") / "packs")) {
    if (!entry.is_regular_file()) continue;
    const auto size = entry.file_size();
    chmod(entry.path().c_str(), 0600);
    std::fstream pack(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    for (std::uintmax_t at = 8192; at < size; at += 30'000) {
      pack.seekp(static_cast<std::streamoff>(at));
      pack << "damage";
    }
  }
  JobContext job;
  EXPECT_FALSE(run_restore(engine->store(), task, job));
  EXPECT_TRUE(files_in("out").empty());
}

TEST_F(LocalServiceTest, ACancelledBackupMakesNoPoint) {
  const auto engine = open_engine();
  std::stop_source stop;
  JobContext job(stop.get_token());
  BackupInputs inputs{engine->store(), clock_};
  inputs.open_image = [&](const fs::path&) -> Result<std::unique_ptr<ImageReader>> {
    auto image = std::make_unique<MemoryImage>(8 * kMiBytes);
    image->fill_random(0, 4 * kMiBytes, 7);
    image->before_read = [&](std::uint64_t offset) -> Result<void> {
      if (offset >= kMiBytes) stop.request_stop();
      return {};
    };
    return image;
  };
  EXPECT_EQ(run_backup(settings_.machines["web"], inputs, job).error().code, ErrorCode::cancelled);
  EXPECT_TRUE(value_of(engine->store().list_points()).empty());
}

TEST_F(LocalServiceTest, OpensAllDisksBeforeItReadsTheFirst) {
  const auto engine = open_engine();
  JobContext job;
  int opened = 0;
  bool read_early = false;
  BackupInputs inputs{engine->store(), clock_};
  inputs.open_image = [&](const fs::path&) -> Result<std::unique_ptr<ImageReader>> {
    ++opened;
    auto image = std::make_unique<MemoryImage>(kMiBytes);
    image->fill_random(0, kMiBytes, 7);
    image->before_read = [&](std::uint64_t) -> Result<void> {
      if (opened != 2) read_early = true;
      return {};
    };
    return image;
  };
  value_of(run_backup(settings_.machines["web"], inputs, job));
  EXPECT_EQ(opened, 2);
  EXPECT_FALSE(read_early);
}

TEST_F(LocalServiceTest, AnImageOfNoBytesIsWarnedAbout) {
  fs::resize_file(path("web-data.raw"), 0);
  const auto engine = open_engine();
  const json job = back_up(engine->service(), "web");
  EXPECT_EQ(job["state"], "CompletedWithWarnings") << job;
  ASSERT_EQ(job["warnings"].size(), 1U);
  EXPECT_NE(job["warnings"][0].get<std::string>().find("disk data: the image " + path("web-data.raw").string() +
                                                       " has 0 bytes"),
            std::string::npos);
  for (const json& disk : job["result"]["disks"]) EXPECT_TRUE(disk["how"].is_string());
}

TEST_F(LocalServiceTest, ARestoredFileHasNoNameUntilItIsWhole) {
  const int probe = open(path("out").c_str(), O_TMPFILE | O_RDWR, 0600);
  if (probe < 0) GTEST_SKIP() << "the file system has no O_TMPFILE";
  close(probe);
  const auto engine = open_engine();
  back_up(engine->service(), "web");
  for (const bool force : {false, true}) {
    std::ofstream(path("out") / "old.img") << "x";
    RestoreTask task;
    task.point = value_of(engine->store().find_point("web@latest"));
    task.to = path("out");
    task.disk = "root";
    task.force = force;
    bool watched = false;
    JobContext job({}, [&] {
      for (const std::string& name : files_in("out")) EXPECT_TRUE(name == "old.img" || (force && name == "root.img"));
      watched = true;
    });
    value_of(run_restore(engine->store(), task, job));
    EXPECT_TRUE(watched);
    EXPECT_EQ(content(path("out") / "root.img"), content(path("web-root.raw")));
    EXPECT_THAT(files_in("out"), testing::UnorderedElementsAre("old.img", "root.img"));
  }
}

TEST_F(LocalServiceTest, AShrinkingDiskFailsTheJob) {
  const auto engine = open_engine();
  JobContext job;
  BackupInputs inputs{engine->store(), clock_};
  inputs.open_image = [&](const fs::path&) -> Result<std::unique_ptr<ImageReader>> {
    auto image = std::make_unique<MemoryImage>(kMiBytes);
    image->fill_random(0, kMiBytes, 7);
    image->before_read = [](std::uint64_t) -> Result<void> { return fail(ErrorCode::image_shrank, "read", "image"); };
    return image;
  };
  EXPECT_EQ(run_backup(settings_.machines["web"], inputs, job).error().code, ErrorCode::image_shrank);
}

TEST_F(LocalServiceTest, JobsStayInTheJournalForTheNextProcess) {
  std::string id;
  {
    const auto engine = open_engine();
    id = back_up(engine->service(), "web")["id"].get<std::string>();
  }
  const auto engine = open_engine();
  const json jobs = value_of(engine->service().jobs(10));
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
  EXPECT_EQ(status["mount"], nullptr);
  EXPECT_EQ(status["store"]["points"], 1);
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
  const ScheduleMark owed{clock_.now(), true, {}};
  EXPECT_EQ(*value_of(engine->journal()->schedule_mark("web")), owed);
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
  EXPECT_TRUE(told_of(restore(engine->service(), {"web@latest", path("out"), {}, false})));
  EXPECT_EQ(value_of(engine->service().points("web", PointsListed::present))[0]["warnings"].size(), 0U)
      << "the point has nothing to do with it";
  EXPECT_EQ(value_of(engine->service().status())["journal"]["error"]["name"], "journal-damaged");
  EXPECT_EQ(engine->service().jobs(5).error().code, ErrorCode::journal_damaged);
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

TEST(StateLock, AMissingParentIsNamed) {
  const TemporaryDirectory directory;
  const auto lock = StateLock::take(directory.path() / "no" / "state");
  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().code, ErrorCode::daemon_failed);
  EXPECT_NE(lock.error().message().find((directory.path() / "no").string() + " is not a directory"), std::string::npos);
}

TEST(StateLock, OneDaemonAStateDirectory) {
  const TemporaryDirectory directory;
  const fs::path state = directory.path() / "state";
  {
    const auto lock = StateLock::take(state);
    ASSERT_TRUE(lock);
    const auto second = StateLock::take(state);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::daemon_running);
    EXPECT_THAT(second.error().message(), testing::HasSubstr(std::to_string(getpid())));
  }
  EXPECT_TRUE(StateLock::take(state));
  EXPECT_FALSE(StateLock::take(directory.path() / "no" / "parent"));
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

  // What the next backup stores anew heals the point, and status says so.
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
