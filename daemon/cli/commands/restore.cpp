// SPDX-License-Identifier: GPL-3.0-or-later
// cairn restore: writes the disks of a recovery point as sparse files. Documents: daemon/API.md "Job".
#include <filesystem>
#include <nlohmann/json.hpp>

#include "config/yaml_reader.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/commands.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/finish_jobs.h"
#include "daemon/service/service.h"

namespace cairn::cli {

Result<ExitCode> run(Context& context, const RestoreCommand& command) {
  if (!command.in_place.empty()) return restore_header_onto(context, command);
  RestoreRequest request;
  request.point = command.point;
  // The daemon has another working directory.
  request.to = std::filesystem::absolute(command.to).lexically_normal().string();
  // Jobs are JSON, to the daemon and in the answer: another byte would become another path.
  if (!is_utf8(request.to))
    return fail(ErrorCode::used_wrongly, "restore " + printable(command.point) + " to", printable(request.to),
                "its name is not UTF-8 text", "give a directory whose whole path is UTF-8, or a link to it that is");
  if (!command.disk.empty()) request.disk = command.disk;
  request.force = command.force;
  request.header_only = command.header_only;
  request.salvage = command.salvage;
  CAIRN_TRY(Service* const service, context.service());
  CAIRN_TRY(nlohmann::json job, service->start_restore(request));
  nlohmann::json started{{"jobs", nlohmann::json::array()}};
  started["jobs"].push_back(std::move(job));
  return finish_jobs(context, started);
}

}  // namespace cairn::cli
