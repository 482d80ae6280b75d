// SPDX-License-Identifier: GPL-3.0-or-later
// --wait: what a command does when another one is in its way. The wait for the store inside of a job is the job's own
// (daemon/queue/lock_wait.h); here it is for what is refused at once: a machine that has a backup already, a store that
// another process writes to. One thread at a time.
#pragma once

#include <chrono>
#include <string>

#include "config/base/result.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/progress.h"

namespace cairn::cli {

// A command's struct has `BusyWait::Time wait = BusyWait::usual();`.
class BusyWait {
 public:
  using Time = std::chrono::seconds;
  static Time usual();

  explicit BusyWait(Time at_most);
  // After a failure: whether to call again, now, having waited a moment. False: it is not of something else being under
  // way, or the time is over, which is then said in `error`. On a terminal it says what is waited for.
  bool again(Error& error);

 private:
  const Time at_most_;
  const std::chrono::steady_clock::time_point until_;
  bool waiting_ = false;
  ProgressDisplay display_;
};

// Calls `call`, which gives a Result, until it does not fail with job_conflict, store_locked or too_many_requests, or
// the time is over.
template <class Call>
auto while_busy(BusyWait::Time at_most, const Call& call) {
  BusyWait wait(at_most);
  for (;;) {
    auto result = call();
    if (result || !wait.again(result.error())) return result;
  }
}

Result<BusyWait::Time> parse_wait(const std::string& text);

template <class T>
OptionSpec wait_option(BusyWait::Time T::* wait) {
  return parsed_value("--wait", "DURATION",
                      "Wait so long for a store or a machine that another command has (default: 1m; 0s: not at all)",
                      wait, parse_wait);
}

}  // namespace cairn::cli
