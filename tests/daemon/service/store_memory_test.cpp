// SPDX-License-Identifier: GPL-3.0-or-later
// What the service says and does when the store is older than this host saw it.
#include "daemon/service/store_memory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "config/base/unique_fd.h"
#include "fs/store/store.h"
#include "tests/daemon/service/local_service_fixture.h"

namespace cairn {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class StoreMemoryTest : public LocalServiceTest {
 protected:
  void back_up_a_day_later() {
    clock_.advance(std::chrono::days(1));
    const auto engine = open_engine();
    EXPECT_EQ(back_up(engine->service(), "web")["state"], "Completed");
  }
  void keep_copy() { std::filesystem::copy(path("store"), path("copy"), std::filesystem::copy_options::recursive); }
  void put_copy_back() {
    std::filesystem::rename(path("store"), path("newer"));
    std::filesystem::copy(path("copy"), path("store"), std::filesystem::copy_options::recursive);
  }
  json status() { return value_of(open_engine()->service().status()); }
  [[nodiscard]] std::filesystem::path memory_file() const {
    for (const auto& entry : std::filesystem::directory_iterator(path("state") / "seen"))
      if (entry.path().extension() == ".json") return entry.path();
    return {};
  }
};

TEST_F(StoreMemoryTest, EachWayToAskSaysThatTheStoreWasPutBack) {
  back_up_a_day_later();
  keep_copy();
  back_up_a_day_later();
  EXPECT_EQ(status()["rollback"]["state"], "as-known");
  put_copy_back();
  const json rollback = status()["rollback"];
  EXPECT_EQ(rollback["state"], "older");
  EXPECT_EQ(rollback["machines"][0]["machine"], "web");
  EXPECT_EQ(rollback["error"]["name"], "store-rolled-back");
  {
    const auto engine = open_engine();
    const json rows = value_of(engine->service().points(std::nullopt, PointsListed::present));
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[1]["error"]["name"], "store-rolled-back");
    EXPECT_THAT(rows[1]["error"]["message"].get<std::string>(), HasSubstr("is not there"));
    const json verify = finish(engine->service(), value_of(engine->service().start_verify({}))["id"]);
    EXPECT_EQ(verify["state"], "Failed");
    EXPECT_EQ(verify["error"]["name"], "store-rolled-back");
    EXPECT_EQ(verify["result"]["clean"], true) << "what it found of the rest is said";
  }
  clock_.advance(std::chrono::days(1));
  const json backup = back_up(open_engine()->service(), "web");
  EXPECT_EQ(backup["state"], "CompletedWithWarnings");
  EXPECT_THAT(backup["warnings"][0].get<std::string>(), HasSubstr("[store-rolled-back]"));
  EXPECT_EQ(status()["rollback"]["state"], "older") << "a new point does not hide it";
}

TEST_F(StoreMemoryTest, NothingOfItExpiresUntilItIsAccepted) {
  Policy& policy = settings_.policies["default"];
  policy.retention = {};
  policy.retention.daily = 1;
  policy.soft_delete = std::nullopt;
  settings_.machines["web"].policy = "default";
  policy.retention.daily = 9;
  for (int day = 0; day < 3; ++day) back_up_a_day_later();
  keep_copy();
  back_up_a_day_later();
  put_copy_back();
  policy.retention.daily = 1;
  clock_.advance(std::chrono::days(1));
  const auto prune = [&] {
    const auto engine = open_engine();
    PruneRequest request;
    request.accept_clock = true;
    return finish(engine->service(), value_of(engine->service().start_prune(request))["id"]);
  };
  const json kept = prune();
  EXPECT_EQ(kept["state"], "CompletedWithWarnings");
  EXPECT_EQ(kept["result"]["totals"]["kept"], 3);
  EXPECT_EQ(kept["result"]["collection"]["error"]["name"], "store-rolled-back");
  {
    const auto engine = open_engine();
    StoreMemory memory(settings_.state_dir, engine->store(), clock_);
    EXPECT_EQ(memory.accept("wbe").error().code, ErrorCode::no_such_machine);
    EXPECT_THAT(value_of(memory.accept(std::nullopt)), ElementsAre("web"));
    EXPECT_THAT(value_of(memory.accept("web")), IsEmpty());
  }
  EXPECT_EQ(status()["rollback"]["state"], "as-known");
  EXPECT_EQ(prune()["result"]["totals"]["purged"], 2);
  EXPECT_EQ(status()["rollback"]["state"], "as-known") << "what a prune removes is no rollback";
}

TEST_F(StoreMemoryTest, WhatCannotBeReadOrWrittenMakesItUnknownNotWell) {
  back_up_a_day_later();
  std::ofstream(memory_file()) << "{\"format\":";
  const json damaged = status()["rollback"];
  EXPECT_EQ(damaged["state"], "unknown");
  EXPECT_THAT(damaged["because"].get<std::string>(), HasSubstr("accept-rollback"));
  {
    const auto engine = open_engine();
    EXPECT_THAT(value_of(StoreMemory(settings_.state_dir, engine->store(), clock_).accept(std::nullopt)), IsEmpty());
  }
  EXPECT_EQ(status()["rollback"]["state"], "as-known");
  std::filesystem::remove_all(path("state"));
  std::ofstream(path("state")) << "a file";
  EXPECT_EQ(status()["rollback"]["state"], "unknown");
}

TEST_F(StoreMemoryTest, StoresWithOneStateDirDoNotWaitForEachOther) {
  back_up_a_day_later();
  const auto engine = open_engine();
  const TemporaryStore other;
  const auto second = other.open();
  const std::string lock = path("state") / "seen" / (engine->store().info().id + ".lock");
  const UniqueFd held(::open(lock.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(held.get(), LOCK_EX | LOCK_NB), 0) << lock;
  const StoreAge first = StoreMemory(settings_.state_dir, engine->store(), clock_).look();
  EXPECT_THAT(first.unknown_because, HasSubstr("another process has had it"));
  const StoreAge age = StoreMemory(settings_.state_dir, *second, clock_).look();
  EXPECT_EQ(age.unknown_because, "");
  EXPECT_TRUE(age.since);
}

TEST_F(StoreMemoryTest, ACopiedStateDirAndANewStoreAreNoRollback) {
  back_up_a_day_later();
  std::filesystem::rename(path("state"), path("elsewhere"));
  settings_.state_dir = path("elsewhere");
  back_up_a_day_later();
  EXPECT_EQ(status()["rollback"]["state"], "as-known");
  std::filesystem::remove_all(path("store"));
  NewKeySlot slot;
  slot.label = "test";
  const std::string bytes = content(path("store.key"));
  slot.secret = SecretBytes::copy_of(as_bytes(bytes));
  expect_ok(create_store(path("store"), {}, {&slot, 1}));
  EXPECT_EQ(status()["rollback"]["state"], "as-known");
}

}  // namespace
}  // namespace cairn
