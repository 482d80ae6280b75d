// SPDX-License-Identifier: GPL-3.0-or-later
// Waiting for the store's writer lock, which another process has: jobs wait for a while instead of failing at once, and
// say so. Any thread.
#pragma once

#include <chrono>
#include <cstdint>

#include "config/base/result.h"

namespace cairn {

class JobContext;

// What scheduled work waits, and commands that are not told otherwise.
inline constexpr std::chrono::seconds kUsualWait{60};
// The longest that can be asked for.
inline constexpr std::chrono::seconds kLongestLockWait = std::chrono::days(7);
// Of a number of seconds that somebody gave.
std::chrono::seconds lock_wait_of(std::uint64_t seconds);

class LockWait {
 public:
  // `job` must outlive this.
  LockWait(JobContext& job, std::chrono::seconds at_most);
  // When the job waits no longer it is not said to wait any more.
  ~LockWait();
  LockWait(const LockWait&) = delete;
  LockWait& operator=(const LockWait&) = delete;

  // After a failure: whether to try again, now. False: it is another failure than store_locked; the time is over, which
  // is then said in `error`; or the job is to stop, and `error` is cancelled.
  bool again(Error& error);

 private:
  JobContext& job_;
  const std::chrono::seconds at_most_;
  const std::chrono::steady_clock::time_point until_;
  bool waiting_ = false;
};

// Calls `call`, which gives a Result, until it does not fail with store_locked, or as LockWait says.
template <class Call>
auto when_unlocked(JobContext& job, std::chrono::seconds at_most, const Call& call) {
  LockWait wait(job, at_most);
  for (;;) {
    auto result = call();
    if (result || !wait.again(result.error())) return result;
  }
}

}  // namespace cairn
