// SPDX-License-Identifier: GPL-3.0-or-later
// What the log says of jobs: the event KIND-started, and KIND-completed, KIND-failed or KIND-cancelled at the end, with
// a KIND-warning for each warning. Any thread.
#pragma once

#include "daemon/queue/job_record.h"

namespace cairn {

void log_job_started(const JobRecord& record);
void log_job_ended(const JobRecord& record);

}  // namespace cairn
