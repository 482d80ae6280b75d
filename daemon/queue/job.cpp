// SPDX-License-Identifier: GPL-3.0-or-later
// JobContext: progress and warnings of a running job.
#include "daemon/queue/job.h"

#include <algorithm>
#include <utility>

namespace cairn {

JobContext::JobContext(std::stop_token stop, std::function<void()> on_change)
    : stop_(std::move(stop)), on_change_(std::move(on_change)) {}

void JobContext::set_total(std::uint64_t bytes) {
  view_.lock()->total_bytes = bytes;
  if (on_change_) on_change_();
}

void JobContext::add_done(std::uint64_t bytes) {
  {
    const auto view = view_.lock();
    // A disk that grew while it was read must not show more than all of it.
    view->done_bytes = std::min(view->done_bytes + bytes, view->total_bytes);
  }
  if (on_change_) on_change_();
}

void JobContext::warn(std::string warning) {
  view_.lock()->warnings.push_back(std::move(warning));
  if (on_change_) on_change_();
}

void JobContext::set_point(std::string name) {
  view_.lock()->point = std::move(name);
  if (on_change_) on_change_();
}

void JobContext::set_waiting_for(std::string what) {
  {
    const auto view = view_.lock();
    if (view->waiting_for == what) return;
    view->waiting_for = std::move(what);
  }
  if (on_change_) on_change_();
}

void JobContext::keep_result(std::string result) {
  *kept_result_.lock() = std::move(result);
}

std::string JobContext::kept_result() const {
  return *kept_result_.lock();
}

JobContext::View JobContext::view() const {
  return *view_.lock();
}

}  // namespace cairn
