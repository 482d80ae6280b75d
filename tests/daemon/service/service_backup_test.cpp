// SPDX-License-Identifier: GPL-3.0-or-later
// Backup and restore as jobs on real files and a real store, through LocalService as the daemon and the commands use
// it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <nlohmann/json.hpp>

#include "daemon/backup/backup.h"
#include "daemon/queue/job.h"
#include "daemon/restore/restore.h"
#include "tests/daemon/service/local_service_fixture.h"
#include "tests/support/memory_image.h"

namespace cairn {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

TEST_F(LocalServiceTest, WhatWasBackedUpIsRestoredBitExactAndSparse) {
  const auto engine = open_engine();
  Service& service = engine->service();
  const json job = back_up(service, "web");
  ASSERT_EQ(job["state"], "Completed") << job.dump(2);
  EXPECT_EQ(job["point"], "web@20261121T020000Z");
  EXPECT_EQ(job["trigger"], "on-demand");
  EXPECT_EQ(job["error"], nullptr);
  EXPECT_EQ(job["result"]["proof"], "unknown") << "its bytes are nothing that anybody recognises";
  EXPECT_EQ(job["result"]["disks"].size(), 2U);
  EXPECT_GT(job["result"]["new_bytes"], 0);
  EXPECT_EQ(job["progress"]["done_bytes"], job["progress"]["total_bytes"]);

  const json restored = restore(service, {{}, "web@latest", path("out"), {}});
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
  EXPECT_EQ(value_of(engine->store().points().load(value_of(engine->store().points().find("web@latest")))).definition,
            "<domain/>");
  fs::remove(path("web.xml"));
  EXPECT_EQ(back_up(engine->service(), "web")["state"], "CompletedWithWarnings");
  ASSERT_EQ(mkfifo(path("web.xml").c_str(), 0600), 0);  // must not hang
  EXPECT_EQ(back_up(engine->service(), "web")["state"], "CompletedWithWarnings");
  fs::remove(path("web.xml"));
  std::ofstream(path("web.xml")) << std::string(kMiBytes + 1, 'x');
  EXPECT_EQ(back_up(engine->service(), "web")["state"], "CompletedWithWarnings");
}

TEST_F(LocalServiceTest, RestoreChecksItsTargetAtOnce) {
  const auto engine = open_engine();
  Service& service = engine->service();
  back_up(service, "web");
  const auto code = [&](const RestoreRequest& request) { return service.start_restore(request).error().code; };
  EXPECT_EQ(code({{}, "web@latest", "relative/dir", {}}), ErrorCode::used_wrongly);
  EXPECT_EQ(code({{}, "web@latest", path("none"), {}}), ErrorCode::target_missing);
  EXPECT_EQ(code({{}, "web@latest", path("store.key"), {}}), ErrorCode::target_missing);
  EXPECT_EQ(code({{}, "web@latest", path("out"), "rot"}), ErrorCode::no_such_disk);
  EXPECT_EQ(code({{}, "web@2001", path("out"), {}}), ErrorCode::no_such_point);
  std::ofstream(path("out") / "root.img") << "precious";
  EXPECT_EQ(code({{}, "web@latest", path("out"), {}}), ErrorCode::target_exists);
  EXPECT_EQ(content(path("out") / "root.img"), "precious");
  EXPECT_EQ(restore(service, {{}, "web@latest", path("out"), "data"})["state"], "Completed")
      << "the other disk is free";
  EXPECT_EQ(restore(service, {{.force = true}, "web@latest", path("out"), "root"})["state"], "Completed");
  EXPECT_EQ(content(path("out") / "root.img"), content(path("web-root.raw")));
  EXPECT_EQ(files_in("out").size(), 2U) << "no temporary file is left";
}

TEST_F(LocalServiceTest, ACancelledOrFailedRestoreLeavesNothing) {
  const auto engine = open_engine();
  back_up(engine->service(), "web");
  RestoreTask task;
  task.point = value_of(engine->store().points().find("web@latest"));
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
  inputs.open_image = [&](const DiskSource&) -> Result<std::unique_ptr<ImageReader>> {
    auto image = std::make_unique<MemoryImage>(8 * kMiBytes);
    image->fill_random(0, 4 * kMiBytes, 7);
    image->before_read = [&](std::uint64_t offset) -> Result<void> {
      if (offset >= kMiBytes) stop.request_stop();
      return {};
    };
    return image;
  };
  EXPECT_EQ(run_backup(settings_.machines["web"], inputs, job).error().code, ErrorCode::cancelled);
  EXPECT_TRUE(value_of(engine->store().points().list()).empty());
}

TEST_F(LocalServiceTest, OpensAllDisksBeforeItReadsTheFirst) {
  const auto engine = open_engine();
  JobContext job;
  int opened = 0;
  bool read_early = false;
  BackupInputs inputs{engine->store(), clock_};
  inputs.open_image = [&](const DiskSource&) -> Result<std::unique_ptr<ImageReader>> {
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
    task.point = value_of(engine->store().points().find("web@latest"));
    task.to = path("out");
    task.disk = "root";
    task.flags.force = force;
    std::atomic<bool> watched = false;  // each writer of the disk reports its progress
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
  inputs.open_image = [&](const DiskSource&) -> Result<std::unique_ptr<ImageReader>> {
    auto image = std::make_unique<MemoryImage>(32 * kMiBytes);
    image->fill_random(0, 32 * kMiBytes, 7);
    // Not where the disk is looked at for volumes: that error has a test of its own.
    image->before_read = [](std::uint64_t offset) -> Result<void> {
      if (offset < 5 * kMiBytes || offset >= 31 * kMiBytes) return {};
      return fail(ErrorCode::image_shrank, "read", "image");
    };
    return image;
  };
  EXPECT_EQ(run_backup(settings_.machines["web"], inputs, job).error().code, ErrorCode::image_shrank);
}

}  // namespace
}  // namespace cairn
