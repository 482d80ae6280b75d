// SPDX-License-Identifier: GPL-3.0-or-later
// cairn backup: makes recovery points now, and waits for them. Documents: daemon/API.md "Job".
#include <nlohmann/json.hpp>

#include "daemon/cli/work/commands.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/finish_jobs.h"
#include "daemon/service/service.h"

namespace cairn::cli {

Result<ExitCode> run(Context& context, const BackupCommand& command) {
  CAIRN_TRY(Service* const service, context.service());
  BackupRequest request;
  request.machines = command.machines;
  request.all = command.all;
  request.full_read = command.full_read;
  CAIRN_TRY(const nlohmann::json started, service->start_backup(request));
  return finish_jobs(context, started);
}

}  // namespace cairn::cli
