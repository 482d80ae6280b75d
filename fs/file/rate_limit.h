// SPDX-License-Identifier: GPL-3.0-or-later
// RateLimit: keeps work that nobody waits for (verifying, garbage collection) from taking the disk from work that
// somebody does. A token bucket that holds one second's worth at most. Any thread; threads share the rate.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <stop_token>

#include "config/base/guarded.h"
#include "config/base/result.h"

namespace cairn {

class RateLimit {
 public:
  // 0: no limit, take() never waits.
  explicit RateLimit(std::uint64_t bytes_per_second);

  // Call before (or after) moving `bytes`, of any number: returns when the rate allows it. What is more than a second's
  // worth is paid for by those that come later, so one large request does not wait longer than for what was taken
  // before it. Errors: cancelled: `stop` was requested, before or while waiting.
  Result<void> take(std::uint64_t bytes, std::stop_token stop);

 private:
  using Time = std::chrono::steady_clock::time_point;
  const std::uint64_t bytes_per_second_;
  std::condition_variable_any never_;  // waited on for the time alone; a stop request ends the wait
  Guarded<Time> free_at_;              // when all that was taken so far is paid for
};

}  // namespace cairn
