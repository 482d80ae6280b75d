// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/queue/job_filter.h"

#include <gtest/gtest.h>

#include "tests/daemon/manual_clock.h"

namespace cairn {
namespace {

JobRecord a_job(JobKind kind, const std::string& object, JobState state = JobState::completed,
                const std::string& result = {}) {
  JobRecord record;
  record.kind = kind;
  record.object = object;
  record.state = state;
  record.result = result;
  record.queued = utc("2026-11-21T02:00:00Z");
  return record;
}

TEST(JobFilter, TakesAllWhenNothingIsAsked) {
  EXPECT_TRUE(matches(a_job(JobKind::prune, "web"), {}));
}

TEST(JobFilter, AMachineIsThatOfBackupsPrunesAndPoints) {
  JobFilter filter;
  filter.machine = "web";
  EXPECT_TRUE(matches(a_job(JobKind::backup, "web"), filter));
  EXPECT_TRUE(matches(a_job(JobKind::restore, "web@20261121T020000Z"), filter));
  EXPECT_FALSE(matches(a_job(JobKind::backup, "web-01"), filter));
  EXPECT_FALSE(matches(a_job(JobKind::verify, "store"), filter));
}

TEST(JobFilter, KindStateAndTimeMustAllFit) {
  JobFilter filter;
  filter.kind = JobKind::backup;
  filter.state = JobState::failed;
  filter.since = utc("2026-11-21T02:00:00Z");
  EXPECT_TRUE(matches(a_job(JobKind::backup, "web", JobState::failed), filter));
  EXPECT_FALSE(matches(a_job(JobKind::restore, "web", JobState::failed), filter));
  EXPECT_FALSE(matches(a_job(JobKind::backup, "web", JobState::cancelled), filter));
  filter.since = utc("2026-11-21T02:00:01Z");
  EXPECT_FALSE(matches(a_job(JobKind::backup, "web", JobState::failed), filter));
}

TEST(JobFilter, AnEmptyPruneIsOneThatChangedAndSaidNothing) {
  JobFilter filter;
  filter.empty_prunes = false;
  const auto prune = [](const std::string& result, JobState state = JobState::completed) {
    return a_job(JobKind::prune, "web", state, result);
  };
  EXPECT_FALSE(matches(prune(R"({"totals":{"deleted":0,"purged":0},"collection":null})"), filter));
  EXPECT_FALSE(matches(prune(R"({"totals":{"deleted":0,"purged":0},"collection":{"freed_bytes":0}})"), filter));
  EXPECT_TRUE(matches(prune(R"({"totals":{"deleted":1,"purged":0},"collection":null})"), filter));
  EXPECT_TRUE(matches(prune(R"({"totals":{"deleted":0,"purged":0},"collection":{"freed_bytes":9}})"), filter));
  EXPECT_TRUE(matches(
      prune(R"({"totals":{"deleted":0,"purged":0},"collection":null})", JobState::completed_with_warnings), filter));
  EXPECT_TRUE(matches(prune("", JobState::failed), filter));
  EXPECT_TRUE(matches(prune("not json"), filter));
}

}  // namespace
}  // namespace cairn
