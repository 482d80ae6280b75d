// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/volume/probe_budget.h"

#include <ctime>

namespace cairn {

namespace {

std::uint64_t processor_ms() {
  timespec time{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) != 0) return 0;
  return static_cast<std::uint64_t>(time.tv_sec) * 1000 + static_cast<std::uint64_t>(time.tv_nsec) / 1'000'000;
}

}  // namespace

BudgetedSource::BudgetedSource(ByteSource& disk, const ProbeLimits& limits)
    : disk_(disk), limits_(limits), began_ms_(processor_ms()) {}

bool BudgetedSource::is_spent() {
  spent_ = spent_ || bytes_ > limits_.bytes || processor_ms() - began_ms_ > limits_.processor_ms;
  return spent_;
}

Result<void> BudgetedSource::read(std::uint64_t offset, MutableBytes to) {
  bytes_ += to.size();
  if (is_spent()) return fail(ErrorCode::io_error, "look at", "the disk", "its headers ask for too much work");
  return disk_.read(offset, to);
}

}  // namespace cairn
