// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/queue/queued_job.h"

#include <fmt/core.h>
#include <sys/random.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "config/base/bytes.h"

namespace cairn {
namespace {

constexpr unsigned kMaxBeside = 1;

// Sorts by time; the random end tells jobs of one second, and of two processes, apart.
std::string new_job_id(UtcTime now) {
  std::uint8_t random[4] = {};
  while (getrandom(random, sizeof random, 0) != sizeof random) {
  }
  return compact_time(now) + "-" + to_hex(ByteView(random));
}

}  // namespace

std::shared_ptr<QueuedJob> QueuedJob::make(JobSpec spec, UtcTime now,
                                           std::function<void(const std::shared_ptr<QueuedJob>&)> on_progress) {
  auto job = std::make_shared<QueuedJob>();
  JobRecord& record = job->known_.record;
  record.id = new_job_id(now);
  record.kind = spec.kind;
  record.object = spec.object;
  record.trigger = spec.trigger;
  record.queued = now;
  job->spec_ = std::move(spec);
  job->context_ = std::make_unique<JobContext>(
      job->stop_.get_token(), [weak = std::weak_ptr<QueuedJob>(job), on_progress = std::move(on_progress)] {
        if (const auto self = weak.lock()) on_progress(self);
      });
  return job;
}

void QueuedJob::take_view(const JobTable&) {
  JobContext::View view = context_->view();
  JobRecord& record = known_.record;
  record.done_bytes = view.done_bytes;
  record.total_bytes = view.total_bytes;
  record.point = std::move(view.point);
  record.waiting_for = has_ended(record.state) ? std::string() : std::move(view.waiting_for);
  record.warnings = std::move(view.warnings);
}

std::shared_ptr<QueuedJob> JobTable::find(const std::string& id) const {
  for (const auto& job : jobs)
    if (record_of(*job).id == id) return job;
  return nullptr;
}

std::deque<std::shared_ptr<QueuedJob>>::iterator JobTable::startable() {
  return std::ranges::find_if(waiting, [&](const std::shared_ptr<QueuedJob>& job) {
    return job->spec().beside ? running_beside < kMaxBeside : running < max_jobs;
  });
}

std::optional<Error> JobTable::refusal(const JobSpec& spec) const {
  if (stopping)
    return Error{ErrorCode::shutting_down, "start job", spec.object, "this process is being stopped", 0, {}};
  if (spec.exclusive.empty()) {
    const auto others = std::ranges::count_if(waiting, [](const auto& job) { return job->spec().exclusive.empty(); });
    if (others < static_cast<std::ptrdiff_t>(kMaxWaitingJobs)) return std::nullopt;
    return Error{ErrorCode::too_many_requests,
                 fmt::format("start {} of", to_string(spec.kind)),
                 spec.object,
                 fmt::format("{} such jobs wait already", others),
                 0,
                 {}};
  }
  for (const auto& job : jobs) {
    const JobRecord& record = record_of(*job);
    const bool left = job->known(*this).left;
    if (job->spec().exclusive != spec.exclusive || (has_ended(record.state) && !left)) continue;
    const char* state = record.state == JobState::queued ? "is waiting to run" : "is running";
    if (left) state = "was cancelled and does not come back from a call of the system";
    return Error{ErrorCode::job_conflict,
                 fmt::format("start {} of", to_string(spec.kind)),
                 spec.object,
                 fmt::format("job {} {}", record.id, state),
                 0,
                 left ? "see whether its disks answer; when they do it ends, else restart the daemon" : ""};
  }
  return std::nullopt;
}

std::size_t JobTable::threads_wanted() const {
  return std::min<std::size_t>(max_jobs + kMaxBeside, running + running_beside + waiting.size());
}

void JobTable::let_go_of(std::thread::id id) {
  const auto found = std::ranges::find(threads, id, &std::thread::get_id);
  if (found == threads.end()) return;
  found->detach();
  threads.erase(found);
}

void JobTable::forget_ended(std::size_t keep) {
  std::size_t ended = 0;
  for (auto at = jobs.begin(); at != jobs.end();) {
    const bool drop = has_ended(record_of(**at).state) && ++ended > keep && !(*at)->known(*this).left;
    at = drop ? jobs.erase(at) : std::next(at);
  }
}

}  // namespace cairn
