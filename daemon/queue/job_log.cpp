// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/queue/job_log.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "config/base/log.h"

namespace cairn {

void log_job_started(const JobRecord& record) {
  log_event(LogLevel::info, fmt::format("{}-started", to_string(record.kind)), record.object,
            {{"job", record.id}, {"trigger", to_string(record.trigger)}});
}

void log_job_ended(const JobRecord& record) {
  const std::string_view kind = to_string(record.kind);
  for (const std::string& warning : record.warnings)
    log_event(LogLevel::warning, fmt::format("{}-warning", kind), record.object,
              {{"job", record.id}, {"warning", warning}});
  if (record.state == JobState::failed)
    log_error(fmt::format("{}-failed", kind), record.object, *record.error);
  else if (record.state == JobState::cancelled)
    log_event(LogLevel::warning, fmt::format("{}-cancelled", kind), record.object,
              {{"job", record.id}, {"because", record.error->because}});
  else
    log_event(LogLevel::info, fmt::format("{}-completed", kind), record.object,
              {{"job", record.id}, {"point", record.point}, {"warnings", record.warnings.size()}});
}

}  // namespace cairn
