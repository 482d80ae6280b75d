// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/work/busy_wait.h"

#include <unistd.h>

#include <algorithm>
#include <thread>

#include "config/base/units.h"
#include "daemon/cli/text/table.h"
#include "daemon/queue/lock_wait.h"

namespace cairn::cli {
namespace {

constexpr std::chrono::milliseconds kTryEvery{250};

}  // namespace

BusyWait::Time BusyWait::usual() {
  return kUsualWait;
}

BusyWait::BusyWait(Time at_most)
    : at_most_(at_most), until_(std::chrono::steady_clock::now() + at_most), display_(::isatty(STDERR_FILENO) != 0) {}

bool BusyWait::again(Error& error) {
  if (error.code != ErrorCode::job_conflict && error.code != ErrorCode::store_locked &&
      error.code != ErrorCode::too_many_requests)
    return false;
  const auto now = std::chrono::steady_clock::now();
  if (now >= until_) {
    if (waiting_) error.because += ", and still so after waiting " + format_duration(at_most_);
    return false;
  }
  waiting_ = true;
  display_.show(printable(error.object + ": waiting: " + error.because));
  std::this_thread::sleep_for(std::min<std::chrono::steady_clock::duration>(kTryEvery, until_ - now));
  return true;
}

Result<BusyWait::Time> parse_wait(const std::string& text) {
  const auto wait = parse_duration(text);
  if (wait && *wait <= kLongestLockWait) return *wait;
  return misuse("wait", "--wait \"" + text + "\" is no time from 0s to 7d", "give one such as 30s, 10m or 2h");
}

}  // namespace cairn::cli
