// SPDX-License-Identifier: GPL-3.0-or-later
// FailureLog: says when a failure is worth a line in the log. The same one again is not, for a minute. Bounded. Any
// thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

namespace cairn {

class FailureLog {
 public:
  using Time = std::chrono::steady_clock::time_point;
  explicit FailureLog(std::function<Time()> now = std::chrono::steady_clock::now) : now_(std::move(now)) {}

  // True when failure `what` (a chunk's number, say) of `inode` has not been logged for a minute.
  bool is_news(std::uint64_t inode, std::uint64_t what);

 private:
  std::function<Time()> now_;
  std::mutex mutex_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, Time> last_;
};

}  // namespace cairn
