// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/queue/queued_job.h"

#include <sys/random.h>

#include <cstdint>
#include <utility>

#include "config/base/bytes.h"

namespace cairn {
namespace {

// Sorts by time; the random end tells jobs of one second, and of two processes, apart.
std::string new_job_id(UtcTime now) {
  std::uint8_t random[4] = {};
  while (getrandom(random, sizeof random, 0) != sizeof random) {
  }
  return compact_time(now) + "-" + to_hex(ByteView(random));
}

}  // namespace

void QueuedJob::take_view() {
  JobContext::View view = context->view();
  record.done_bytes = view.done_bytes;
  record.total_bytes = view.total_bytes;
  record.point = std::move(view.point);
  record.warnings = std::move(view.warnings);
}

std::shared_ptr<QueuedJob> make_job(JobSpec spec, UtcTime now,
                                    std::function<void(const std::shared_ptr<QueuedJob>&)> on_progress) {
  auto job = std::make_shared<QueuedJob>();
  job->record.id = new_job_id(now);
  job->record.kind = spec.kind;
  job->record.object = spec.object;
  job->record.trigger = spec.trigger;
  job->record.queued = now;
  job->spec = std::move(spec);
  job->context = std::make_unique<JobContext>(
      job->stop.get_token(), [weak = std::weak_ptr<QueuedJob>(job), on_progress = std::move(on_progress)] {
        if (const auto self = weak.lock()) on_progress(self);
      });
  return job;
}

}  // namespace cairn
