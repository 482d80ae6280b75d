// SPDX-License-Identifier: GPL-3.0-or-later
// FailureLog: see failure_log.h.
#include "fs/mount/failure_log.h"

#include <algorithm>

namespace cairn {
namespace {

constexpr std::chrono::minutes kQuiet{1};
constexpr std::size_t kMaxRemembered = 4096;

}  // namespace

bool FailureLog::is_news(std::uint64_t inode, std::uint64_t what) {
  const Time now = now_();
  const std::lock_guard lock(mutex_);
  const auto [at, fresh] = last_.try_emplace({inode, what}, now);
  if (!fresh) {
    if (now - at->second < kQuiet) return false;
    at->second = now;
    return true;
  }
  if (last_.size() > kMaxRemembered) {
    std::erase_if(last_, [&](const auto& entry) { return now - entry.second >= kQuiet; });
    // All of them recent: a store in ruins. New damage is still named, at the price of naming some twice.
    if (last_.size() > kMaxRemembered) {
      last_.clear();
      last_[{inode, what}] = now;
    }
  }
  return true;
}

}  // namespace cairn
