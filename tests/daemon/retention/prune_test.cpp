// SPDX-License-Identifier: GPL-3.0-or-later
// Pruning as jobs of the service: after backups and by hand, on a real store, with a clock that the test sets.
#include "daemon/retention/prune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "config/base/log.h"
#include "daemon/engine/store_key.h"
#include "daemon/queue/job.h"
#include "fs/store/create_store.h"
#include "fs/store/store.h"
#include "fs/store/store_state.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"
#include "fs/store/write/writer_core.h"
#include "tests/daemon/manual_clock.h"
#include "tests/daemon/service/served_engine.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using nlohmann::json;
using std::chrono::days;
using std::chrono::hours;
using testing::Contains;
using testing::HasSubstr;
using testing::SizeIs;

class PruneJob : public testing::Test {
 protected:
  PruneJob() {
    redirect_log(&log_);
    const fs_path key = directory_.path() / "store.key";
    {
      std::ofstream out(key, std::ios::binary);
      out << std::string(32, 'k');
    }
    chmod(key.c_str(), 0600);
    start_crypto();
    NewKeySlot slot;
    slot.label = "test";
    slot.secret = SecretBytes::copy_of(as_bytes(std::string(32, 'k')));
    expect_ok(create_store(directory_.path() / "store", {}, {&slot, 1}));
    settings_.file = directory_.path() / "cairn.yaml";
    settings_.store.path = directory_.path() / "store";
    settings_.store.key.key_file = key;
    settings_.state_dir = directory_.path() / "state";
    settings_.change_tracking.enabled = false;
    Policy& policy = settings_.policies["default"];
    policy.name = "default";
    policy.retention = {};
    policy.retention.daily = 2;
    MachineSettings& web = settings_.machines["web"];
    web.name = "web";
    web.disks.push_back({"root", directory_.path() / "a.img", {}, {}});
    std::ofstream(directory_.path() / "a.img") << std::string(100'000, 'x');
  }
  ~PruneJob() override {
    engine_.reset();
    redirect_log(nullptr);
  }
  using fs_path = std::filesystem::path;

  void open() {
    EngineOptions options;
    options.clock = &clock_;
    options.read_clock = [this] { return ClockReading{clock_.now() + clock_off_, "boot", up_}; };
    engine_.reset();
    engine_ = std::make_unique<ServedEngine>(value_of(Engine::open(settings_, options)));
  }
  Service& service() { return engine_->service(); }
  void pass(std::chrono::seconds time) {
    clock_.advance(time);
    up_ += time;
  }
  json finish(const std::string& id) {
    json job = value_of(service().job(id));
    while (job["state"] == "Queued" || job["state"] == "InProgress")
      job = value_of(service().wait_job(id, job["revision"].get<std::uint64_t>(), std::chrono::seconds(60)));
    return job;
  }
  // Waits for the prune that follows, too. The prune's document.
  json back_up(const std::string& machine = "web") {
    const json started = value_of(service().start_backup({{machine}, false}));
    const json job = finish(started["jobs"][0]["id"].get<std::string>());
    EXPECT_EQ(job["state"], "Completed") << job["error"].dump();
    EXPECT_TRUE(job["result"]["prune"].is_string());
    return finish(job["result"]["prune"].get<std::string>());
  }
  json prune(const PruneRequest& request = {}) {
    return finish(value_of(service().start_prune(request))["id"].get<std::string>());
  }
  std::vector<std::string> names(PointsListed listed = PointsListed::present) {
    std::vector<std::string> found;
    for (const json& row : value_of(service().points(std::nullopt, listed)))
      found.push_back(row["name"].get<std::string>());
    return found;
  }
  // One a day; the newest is of now.
  void back_up_days(int count) {
    for (int day = 0; day < count; ++day) {
      if (day > 0) pass(days(1));
      back_up();
    }
  }

  std::string log_;
  TemporaryDirectory directory_;
  Settings settings_;
  ManualClock clock_;
  std::chrono::seconds clock_off_{0};
  std::chrono::seconds up_ = hours(5);
  std::unique_ptr<ServedEngine> engine_;
};

TEST_F(PruneJob, FollowsEachBackupAndHidesWhatHasExpired) {
  open();
  back_up_days(2);
  pass(days(1));
  const json job = back_up();
  EXPECT_EQ(job["state"], "Completed");
  EXPECT_EQ(job["kind"], "prune");
  EXPECT_EQ(job["object"], "web");
  EXPECT_EQ(job["trigger"], "on-demand");
  EXPECT_EQ(job["result"]["totals"]["deleted"], 1);
  EXPECT_EQ(job["result"]["collection"], nullptr) << "nothing was removed yet, so there is nothing to collect";
  EXPECT_THAT(names(), SizeIs(2));
  const json deleted = value_of(service().points("web", PointsListed::deleted));
  ASSERT_THAT(deleted, SizeIs(1));
  EXPECT_EQ(deleted[0]["deleted"]["because"], "retention");
  EXPECT_EQ(deleted[0]["deleted"]["purge_after"], iso_time(clock_.now() + days(14)));
}

TEST_F(PruneJob, SaysForEveryPointWhatAndWhy) {
  open();
  back_up_days(3);
  const json result = prune({"web", true})["result"];
  const json& rows = result["machines"][0]["points"];
  ASSERT_THAT(rows, SizeIs(3));
  EXPECT_EQ(rows[0]["reasons"], (json{"newest", "daily 1 of 2"}));
  EXPECT_EQ(rows[0]["action"], "keep");
  EXPECT_EQ(rows[2]["action"], "wait");
  EXPECT_EQ(result["machines"][0]["policy"], "default");
  EXPECT_TRUE(result["dry_run"].get<bool>());
}

TEST_F(PruneJob, ADryRunChangesNothing) {
  settings_.policies["default"].retention.daily = 30;
  open();
  back_up_days(4);
  settings_.policies["default"].retention.daily = 2;
  engine_->replace_settings(settings_);
  const json job = prune({std::nullopt, true});
  EXPECT_EQ(job["state"], "Completed");
  EXPECT_EQ(job["result"]["totals"]["deleted"], 2);
  EXPECT_THAT(names(), SizeIs(4));
  const json real = prune();
  EXPECT_EQ(real["result"]["totals"]["deleted"], 2);
  EXPECT_THAT(names(), SizeIs(2));
  const json again = prune();
  EXPECT_EQ(again["result"]["totals"]["deleted"], 0) << "the second time there is nothing left to do";
  EXPECT_TRUE(again["result"]["collection"].is_object()) << "by hand it always collects";
}

TEST_F(PruneJob, RemovesForGoodWhenTheTimeHasCome) {
  open();
  back_up_days(3);
  pass(days(14) - std::chrono::seconds(1));
  EXPECT_EQ(prune()["result"]["totals"]["purged"], 0);
  pass(std::chrono::seconds(1));
  const json job = prune();
  EXPECT_EQ(job["result"]["totals"]["purged"], 1);
  EXPECT_THAT(names(PointsListed::deleted), SizeIs(0));
  EXPECT_THAT(value_of(engine_->store().points().list_stored()), SizeIs(2));
  EXPECT_THAT(value_of(engine_->store().points().tombstones()), SizeIs(1)) << "the point after it names it";
}

TEST_F(PruneJob, WithSoftDeleteOffCollectsAtOnceAfterTheBackup) {
  settings_.policies["default"].soft_delete.reset();
  open();
  back_up_days(2);
  pass(days(1));
  const json job = back_up();
  EXPECT_EQ(job["result"]["totals"]["purged"], 1);
  EXPECT_TRUE(job["result"]["collection"].is_object());
  EXPECT_THAT(value_of(engine_->store().points().list_stored()), SizeIs(2));
}

// Another process had the store, and brought a point back: what was planned before that counts no more.
TEST_F(PruneJob, PlansAnewWhenItHadToWaitForTheStore) {
  open();
  back_up_days(3);
  pass(days(14));
  EXPECT_EQ(prune({std::nullopt, true})["result"]["totals"]["purged"], 1);
  const PointName oldest = value_of(engine_->store().points().list_deleted()).front();
  json job;
  {
    const auto other = value_of(Store::open(settings_.store.path, value_of(read_store_key(settings_))));
    const auto writer = value_of(begin_writing(*other, "another process"));
    job = value_of(service().start_prune({}));
    while (job["waiting_for"].is_null()) {
      ASSERT_TRUE(job["state"] == "Queued" || job["state"] == "InProgress") << job.dump();
      job = value_of(service().wait_job(job["id"].get<std::string>(), job["revision"].get<std::uint64_t>(),
                                        std::chrono::seconds(60)));
    }
    expect_ok(undelete_point(*writer, oldest));
  }
  job = finish(job["id"].get<std::string>());
  EXPECT_EQ(job["state"], "Completed") << job["error"].dump();
  EXPECT_EQ(job["result"]["totals"]["purged"], 0);
  EXPECT_THAT(value_of(engine_->store().points().list_stored()), Contains(oldest));
}

TEST_F(PruneJob, DoesNotRemoveWhatIsBeingRead) {
  settings_.policies["default"].soft_delete.reset();
  settings_.policies["default"].retention.daily = 30;
  open();
  back_up_days(3);
  settings_.policies["default"].retention.daily = 2;
  engine_->replace_settings(settings_);
  const PointName oldest = value_of(engine_->store().points().list()).front();
  {
    const auto hold = value_of(engine_->store().points().hold(oldest));
    const json job = prune();
    EXPECT_EQ(job["state"], "Completed");
    EXPECT_EQ(job["result"]["totals"]["purged"], 0);
    EXPECT_THAT(job["result"]["machines"][0]["points"][2]["reasons"], Contains("it is being read"));
    EXPECT_THAT(names(), SizeIs(3));
  }
  EXPECT_EQ(prune()["result"]["totals"]["purged"], 1);
}

TEST_F(PruneJob, BesideARepairItRemovesPointsAndSaysWhyNoSpaceComesBack) {
  settings_.policies["default"].soft_delete.reset();
  settings_.policies["default"].retention.daily = 30;
  open();
  back_up_days(3);
  settings_.policies["default"].retention.daily = 2;
  engine_->replace_settings(settings_);
  {
    // What a repair does, from its beginning to its end.
    const auto core = value_of(writer_core_of(engine_->store().state(), "repair"));
    auto repair = core->collecting.take("a repair", "repair", "the store");
    ASSERT_TRUE(repair) << repair.error().message();
    const json job = prune();
    EXPECT_EQ(job["state"], "Completed") << job["error"].dump();
    EXPECT_THAT(job["result"]["collection"]["skipped"].dump(), HasSubstr("a repair is under way"));
    EXPECT_EQ(job["result"]["totals"]["purged"], 1);
    EXPECT_THAT(value_of(engine_->store().points().list_stored()), SizeIs(2));
  }
  const json after = prune();
  EXPECT_EQ(after["state"], "Completed");
  EXPECT_TRUE(after["result"]["collection"].contains("freed_bytes"));
}

TEST_F(PruneJob, AClockThatJumpedRemovesNothingAndFailsNoBackup) {
  settings_.policies["default"].retention.daily = 30;
  open();
  back_up_days(4);
  settings_.policies["default"].retention.daily = 1;
  engine_->replace_settings(settings_);
  clock_.advance(days(400));  // and nobody waited
  const json after = back_up();
  EXPECT_EQ(after["state"], "Failed");
  EXPECT_EQ(after["error"]["name"], "clock-jumped");
  EXPECT_THAT(names(), SizeIs(5));
  EXPECT_EQ(prune()["error"]["name"], "clock-jumped");
  const json plan = prune({std::nullopt, true});
  EXPECT_EQ(plan["state"], "CompletedWithWarnings");
  EXPECT_EQ(plan["result"]["clock"]["state"], "jumped");
  EXPECT_EQ(plan["result"]["totals"]["deleted"], 4);
  EXPECT_EQ(service().delete_point({"web@latest"}).error().code, ErrorCode::clock_jumped);
  EXPECT_THAT(names(), SizeIs(5));
  const json accepted = prune({std::nullopt, false, true});
  EXPECT_EQ(accepted["state"], "Completed") << accepted["error"].dump();
  EXPECT_EQ(accepted["result"]["totals"]["deleted"], 4);
  pass(hours(1));
  EXPECT_EQ(prune()["state"], "Completed") << "it is right from here on";
}

TEST_F(PruneJob, AcceptingTheClockDoesNotShortenWhatIsImmutable) {
  settings_.policies["default"].immutable = days(30);
  settings_.policies["default"].retention.daily = 1;
  open();
  back_up_days(3);
  EXPECT_THAT(names(), SizeIs(3));
  clock_.advance(days(400));
  EXPECT_EQ(prune({std::nullopt, false, true})["result"]["totals"]["deleted"], 0);
  pass(days(28) + hours(12));
  EXPECT_EQ(prune()["result"]["totals"]["deleted"], 1) << "30 days have really passed for the oldest only";
  EXPECT_THAT(names(), SizeIs(2));
}

TEST_F(PruneJob, LoweringImmutableCountsForNewPointsOnly) {
  settings_.policies["default"].immutable = days(30);
  open();
  back_up();
  settings_.policies["default"].immutable.reset();
  engine_->replace_settings(settings_);
  const auto refused = service().delete_point({"web@latest"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::point_immutable);
  EXPECT_THAT(refused.error().message(), HasSubstr(iso_time(clock_.now() + days(30))));
  EXPECT_EQ(value_of(service().points("web", PointsListed::present))[0]["immutable_until"],
            iso_time(clock_.now() + days(30)));
  pass(days(1));
  back_up();
  EXPECT_TRUE(service().delete_point({"web@latest"}));
}

TEST_F(PruneJob, RaisingImmutableCountsAtOnce) {
  open();
  back_up();
  settings_.policies["default"].immutable = days(30);
  engine_->replace_settings(settings_);
  EXPECT_EQ(service().delete_point({"web@latest"}).error().code, ErrorCode::point_immutable);
}

TEST_F(PruneJob, DeletesBringsBackAndProtectsByHand) {
  open();
  back_up_days(2);
  const std::vector<std::string> all = names();
  const json gone = value_of(service().delete_point({all[0]}));
  EXPECT_EQ(gone["name"], all[0]);
  EXPECT_EQ(gone["purged"], false);
  EXPECT_EQ(gone["purge_after"], iso_time(clock_.now() + days(14)));
  EXPECT_THAT(names(), SizeIs(1));
  EXPECT_EQ(service().point(all[0]).error().code, ErrorCode::point_deleted);
  EXPECT_EQ(value_of(service().undelete_point(all[0]))["name"], all[0]);
  EXPECT_THAT(names(), SizeIs(2));

  EXPECT_EQ(value_of(service().protect_point({all[0], false, clock_.now() + days(3)}))["protected"]["until"],
            iso_time(clock_.now() + days(3)));
  EXPECT_EQ(service().delete_point({all[0]}).error().code, ErrorCode::point_protected);
  EXPECT_EQ(value_of(service().points("web", PointsListed::present))[0]["protected"]["until"],
            iso_time(clock_.now() + days(3)));
  EXPECT_EQ(service().protect_point({all[0], false, clock_.now()}).error().code, ErrorCode::used_wrongly);
  EXPECT_EQ(value_of(service().protect_point({all[0], true, {}}))["protected"], nullptr);
  EXPECT_TRUE(service().delete_point({all[0]}));
}

// Its record stays: without it an older store that still has it could not be told from a newer one.
TEST_F(PruneJob, AProtectionThatIsOverProtectsNoMore) {
  open();
  back_up();
  (void)value_of(service().protect_point({"web@latest", false, clock_.now() + hours(1)}));
  pass(hours(2));
  prune();
  EXPECT_EQ(value_of(service().points("web", PointsListed::present))[0]["protected"], nullptr);
  EXPECT_TRUE(service().delete_point({"web@latest"}));
}

TEST_F(PruneJob, WithSoftDeleteOffDeletingIsForGood) {
  settings_.policies["default"].soft_delete.reset();
  open();
  back_up_days(2);
  const json gone = value_of(service().delete_point({names()[0]}));
  EXPECT_EQ(gone["purged"], true);
  EXPECT_EQ(gone["purge_after"], nullptr);
  EXPECT_THAT(value_of(engine_->store().points().list_stored()), SizeIs(1));
}

TEST_F(PruneJob, LeavesMachinesAloneThatAreNotInTheSettings) {
  open();
  back_up_days(2);
  settings_.machines.erase("web");
  settings_.policies["default"].retention.daily = 1;
  engine_->replace_settings(settings_);
  pass(days(3));
  const json result = prune()["result"];
  EXPECT_EQ(result["machines"][0]["in_settings"], false);
  EXPECT_EQ(result["totals"]["deleted"], 0);
  EXPECT_EQ(result["totals"]["kept"], 2);
  EXPECT_EQ(service().start_prune({"wbe"}).error().code, ErrorCode::no_such_machine);
}

TEST_F(PruneJob, ListsDamagedPointsAndGoesOn) {
  open();
  back_up_days(2);
  const std::string oldest = names()[0];
  {
    std::ofstream file(directory_.path() / "store" / "points" / oldest, std::ios::app);
    file << "x";
  }
  const json result = prune()["result"];
  EXPECT_EQ(result["totals"]["damaged"], 1);
  EXPECT_EQ(result["machines"][0]["points"][1]["damaged"], true);
  EXPECT_THAT(result["machines"][0]["points"][1]["note"].get<std::string>(), HasSubstr("authenticate"));
  EXPECT_TRUE(service().delete_point({oldest})) << "so that what it hides can be given up";
}

TEST_F(PruneJob, KeepsTheClockWithoutWritingItAtEveryLook) {
  open();
  back_up();
  const auto file = directory_.path() / "store" / "clock";
  ASSERT_TRUE(std::filesystem::exists(file));
  struct stat before{};
  ASSERT_EQ(stat(file.c_str(), &before), 0);
  pass(std::chrono::minutes(59));
  back_up();
  struct stat after{};
  ASSERT_EQ(stat(file.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  pass(std::chrono::minutes(1));
  back_up();
  EXPECT_EQ(value_of(engine_->store().points().clock_record())->last.now, clock_.now());
}

TEST_F(PruneJob, OnlyOneByHandAtATime) {
  open();
  back_up();
  const json first = value_of(service().start_prune({}));
  const auto second = service().start_prune({});
  // The first may have ended by then.
  if (!second) {
    EXPECT_EQ(second.error().code, ErrorCode::job_conflict);
  }
  EXPECT_EQ(finish(first["id"].get<std::string>())["state"], "Completed");
}

}  // namespace
}  // namespace cairn
