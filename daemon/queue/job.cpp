// SPDX-License-Identifier: GPL-3.0-or-later
// JobContext: progress and warnings of a running job.
#include "daemon/queue/job.h"

#include <algorithm>
#include <utility>

namespace cairn {

JobContext::JobContext(std::stop_token stop, std::function<void()> on_change)
    : stop_(std::move(stop)), on_change_(std::move(on_change)) {}

void JobContext::set_total(std::uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    view_.total_bytes = bytes;
  }
  if (on_change_) on_change_();
}

void JobContext::add_done(std::uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    // A disk that grew while it was read must not show more than all of it.
    view_.done_bytes = std::min(view_.done_bytes + bytes, view_.total_bytes);
  }
  if (on_change_) on_change_();
}

void JobContext::warn(std::string warning) {
  {
    const std::lock_guard lock(mutex_);
    view_.warnings.push_back(std::move(warning));
  }
  if (on_change_) on_change_();
}

void JobContext::set_point(std::string name) {
  {
    const std::lock_guard lock(mutex_);
    view_.point = std::move(name);
  }
  if (on_change_) on_change_();
}

void JobContext::keep_result(std::string result) {
  const std::lock_guard lock(mutex_);
  kept_result_ = std::move(result);
}

std::string JobContext::kept_result() const {
  const std::lock_guard lock(mutex_);
  return kept_result_;
}

JobContext::View JobContext::view() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

}  // namespace cairn
