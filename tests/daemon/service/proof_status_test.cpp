// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/proof_status.h"

#include <gtest/gtest.h>

#include <deque>
#include <nlohmann/json.hpp>

namespace cairn {
namespace {

using nlohmann::json;
using std::chrono::days;
using std::chrono::hours;

const UtcTime kNow = *parse_iso_time("2026-11-22T12:00:00Z");

json row(UtcTime time, const char* proof) {
  return {{"name", "web@" + compact_time(time)},
          {"time", iso_time(time)},
          {"proof", proof},
          {"encrypted", std::string(proof) != "not-encrypted"}};
}

// Newest first.
json status_of(std::deque<json> rows, const char* schedule = "@daily") {
  const Schedule parsed = *Schedule::parse(schedule, "UTC");
  return proof_status(
      [&]() -> std::optional<json> {
        if (rows.empty()) return std::nullopt;
        json next = rows.front();
        rows.pop_front();
        return next;
      },
      &parsed, kNow);
}

TEST(ProofStatus, ASuspectPointIsNotTheLastProvedOneAndATornOneOnlyWhenThereIsNoOther) {
  json suspect = row(kNow - hours(1), "proved");
  suspect["suspect"] = true;
  json torn = row(kNow - hours(2), "proved");
  torn["consistency"] = "torn";
  const json whole = row(kNow - days(9), "proved");
  EXPECT_EQ(status_of({suspect, torn})["last_proved"], torn["name"]);
  const json status = status_of({suspect, torn, whole});
  EXPECT_EQ(status["last_proved"], whole["name"]);
  EXPECT_EQ(status["wanting"], false) << "its keys were tried two hours ago";
  EXPECT_EQ(status_of({suspect})["wanting"], true);
}

TEST(ProofStatus, NothingIsWantingWhereNothingIsEncrypted) {
  const json status = status_of({row(kNow - hours(1), "not-encrypted"), row(kNow - days(40), "proved")});
  EXPECT_EQ(status["needed"], false);
  EXPECT_EQ(status["wanting"], false);
}

TEST(ProofStatus, ARecentProvedPointIsEnough) {
  const json status = status_of({row(kNow - hours(2), "unproved"), row(kNow - hours(26), "proved")});
  EXPECT_EQ(status["newest"], "unproved");
  EXPECT_EQ(status["last_proved"], "web@" + compact_time(kNow - hours(26)));
  EXPECT_EQ(status["wanting"], false);
}

TEST(ProofStatus, TwoIntervalsOfTheScheduleAreRecent) {
  EXPECT_EQ(status_of({row(kNow - hours(47), "proved")})["wanting"], false);
  EXPECT_EQ(status_of({row(kNow - hours(49), "proved")})["wanting"], true);
  EXPECT_EQ(status_of({row(kNow - days(13), "proved")}, "@weekly")["wanting"], false);
  EXPECT_EQ(status_of({row(kNow - days(15), "proved")}, "@weekly")["wanting"], true);
  EXPECT_EQ(status_of({row(kNow - hours(23), "proved")}, "every 5m")["wanting"], false) << "a day at least";
  EXPECT_EQ(status_of({row(kNow - hours(25), "proved")}, "every 5m")["wanting"], true);
}

TEST(ProofStatus, WithoutAProvedPointItIsWanting) {
  const json status = status_of({row(kNow - hours(1), "unproved"), row(kNow - hours(2), "unproved")});
  EXPECT_EQ(status["wanting"], true);
  EXPECT_TRUE(status["last_proved"].is_null());
}

TEST(ProofStatus, BeforeTheFirstPointNothingIsProvedAndThatCounts) {
  const json status = status_of({});
  EXPECT_TRUE(status["needed"].is_null());
  EXPECT_EQ(status["wanting"], true);
}

TEST(ProofStatus, DamagedPointsArePassedOver) {
  json damaged = row(kNow - hours(1), "proved");
  damaged["error"] = json::object();
  EXPECT_EQ(status_of({damaged, row(kNow - hours(2), "unproved")})["newest"], "unproved");
}

TEST(ProofStatus, MachinesThatAreNotInTheSettingsNeedNotBeRecent) {
  bool given = false;
  const json status = proof_status(
      [&]() -> std::optional<json> {
        if (std::exchange(given, true)) return std::nullopt;
        return row(kNow - days(400), "proved");
      },
      nullptr, kNow);
  EXPECT_EQ(status["wanting"], false);
}

}  // namespace
}  // namespace cairn
