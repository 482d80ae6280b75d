// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/file/rate_limit.h"

#include <algorithm>

namespace cairn {
namespace {
using std::chrono::steady_clock;
constexpr std::chrono::seconds kBurst{1};
}  // namespace

RateLimit::RateLimit(std::uint64_t bytes_per_second)
    : bytes_per_second_(bytes_per_second), free_at_(steady_clock::now() - kBurst) {}

Result<void> RateLimit::take(std::uint64_t bytes, std::stop_token stop) {
  const auto cancelled = [&]() -> Result<void> {
    return fail(ErrorCode::cancelled, "go on", "", "it was asked to stop");
  };
  if (stop.stop_requested()) return cancelled();
  if (bytes_per_second_ == 0) return {};
  auto free_at = free_at_.lock();
  const Time now = steady_clock::now();
  // What was not used in the last second is lost: a pause must not be followed by a flood.
  *free_at = std::max(*free_at, now - kBurst);
  const Time mine = *free_at;
  *free_at += std::chrono::duration_cast<steady_clock::duration>(
      std::chrono::duration<double>(static_cast<double>(bytes) / static_cast<double>(bytes_per_second_)));
  if (mine <= now) return {};
  never_.wait_until(free_at.held(), stop, mine, [] { return false; });
  return stop.stop_requested() ? cancelled() : Result<void>();
}

}  // namespace cairn
