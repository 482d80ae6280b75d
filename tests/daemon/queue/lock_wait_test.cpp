// SPDX-License-Identifier: GPL-3.0-or-later
// Waiting for a store that another process writes to.
#include "daemon/queue/lock_wait.h"

#include <gtest/gtest.h>

#include <stop_token>

#include "daemon/queue/job.h"

namespace cairn {
namespace {

using std::chrono::seconds;

Result<int> locked() {
  return fail(ErrorCode::store_locked, "write to store", "/srv/s", "locked by backup of db");
}

TEST(LockWait, CallsAgainUntilTheLockIsFreeAndSaysWhatItWaitsFor) {
  JobContext job;
  std::vector<std::string> said;
  int calls = 0;
  const auto result = when_unlocked(job, seconds(60), [&]() -> Result<int> {
    said.push_back(job.view().waiting_for);
    if (++calls < 3) return locked();
    return 7;
  });
  ASSERT_TRUE(result);
  EXPECT_EQ(*result, 7);
  EXPECT_EQ(said, (std::vector<std::string>{"", "locked by backup of db", "locked by backup of db"}));
  EXPECT_EQ(job.view().waiting_for, "") << "it waits no longer";
}

TEST(LockWait, GivesUpWhenTheTimeIsOverAndSaysHowLongItWaited) {
  JobContext job;
  const auto result = when_unlocked(job, seconds(1), locked);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::store_locked);
  EXPECT_EQ(result.error().because, "locked by backup of db, and still so after waiting 1s");
}

TEST(LockWait, WithoutATimeItDoesNotWaitAtAll) {
  JobContext job;
  int calls = 0;
  const auto result = when_unlocked(job, seconds(0), [&] {
    ++calls;
    return locked();
  });
  EXPECT_EQ(result.error().because, "locked by backup of db");
  EXPECT_EQ(calls, 1);
}

TEST(LockWait, OtherFailuresAreNotWaitedFor) {
  JobContext job;
  int calls = 0;
  const auto result = when_unlocked(job, seconds(60), [&]() -> Result<int> {
    ++calls;
    return fail(ErrorCode::no_space, "write", "/srv/s");
  });
  EXPECT_EQ(result.error().code, ErrorCode::no_space);
  EXPECT_EQ(calls, 1);
}

TEST(LockWait, AJobThatIsCancelledWaitsNoLonger) {
  std::stop_source stop;
  JobContext job(stop.get_token());
  const auto result = when_unlocked(job, std::chrono::hours(1), [&] {
    stop.request_stop();
    return locked();
  });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::cancelled);
}

TEST(LockWait, WhatIsAskedForIsBounded) {
  EXPECT_EQ(lock_wait_of(90), seconds(90));
  EXPECT_EQ(lock_wait_of(~std::uint64_t{0}), kLongestLockWait);
}

}  // namespace
}  // namespace cairn
