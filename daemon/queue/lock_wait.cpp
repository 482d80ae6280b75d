// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/queue/lock_wait.h"

#include <fmt/core.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "config/base/units.h"
#include "daemon/queue/job.h"

namespace cairn {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kTryEvery{200};

}  // namespace

std::chrono::seconds lock_wait_of(std::uint64_t seconds) {
  return std::chrono::seconds(std::min<std::uint64_t>(seconds, static_cast<std::uint64_t>(kLongestLockWait.count())));
}

LockWait::LockWait(JobContext& job, std::chrono::seconds at_most)
    : job_(job), at_most_(at_most), until_(steady_clock::now() + at_most_) {}

LockWait::~LockWait() {
  if (waiting_) job_.set_waiting_for({});
}

bool LockWait::again(Error& error) {
  if (error.code != ErrorCode::store_locked) return false;
  const auto now = steady_clock::now();
  if (now >= until_) {
    if (waiting_) error.because += fmt::format(", and still so after waiting {}", format_duration(at_most_));
    return false;
  }
  job_.set_waiting_for(error.because);
  waiting_ = true;
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, job_.stop(), std::min<steady_clock::duration>(kTryEvery, until_ - now), [] { return false; });
  if (!job_.stop().stop_requested()) return true;
  error = Error{ErrorCode::cancelled, "wait for store", error.object, "it was " + error.because, 0, {}};
  return false;
}

}  // namespace cairn
