// SPDX-License-Identifier: GPL-3.0-or-later
// cairn verify: as a job, the daemon's or this process's; --keyless here, with nothing but the directory.
// Documents: {"jobs":[Job],"error":Error}, the job's result being the report (daemon/API.md "Verify"); --keyless:
// {"clean","packs_read","bytes_read","bytes_per_second","damaged":[{"name","because"}],"unreadable":[TEXT],
// "strangers":[NAME],"duration_ms","error":Error}.
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "config/yaml_reader.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/commands.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/follow_jobs.h"
#include "daemon/queue/job_record.h"
#include "daemon/service/service.h"
#include "fs/io/open_backend.h"
#include "fs/store/verify/verify.h"

namespace cairn::cli {
namespace {

// Neither key nor settings are needed for a store that is named.
Result<std::filesystem::path> store_directory(Context& context) {
  if (!context.globals().store.empty()) return std::filesystem::absolute(context.globals().store).lexically_normal();
  CAIRN_TRY(const Settings* const settings, context.settings());
  return settings->store.path;
}

Result<ExitCode> verify_without_keys(Context& context, const VerifyCommand& command) {
  CAIRN_TRY(const std::filesystem::path directory, store_directory(context));
  const auto backend = open_backend(directory);
  const Interrupts interrupts;
  std::stop_source stop;
  KeylessOptions options;
  options.rate = command.rate;
  options.stop = stop.get_token();
  options.progress = [&](std::uint64_t, std::uint64_t) {
    if (Interrupts::seen()) stop.request_stop();
  };
  CAIRN_TRY(const KeylessReport report, verify_keyless(*backend, options));
  nlohmann::json document = to_json(report);
  document["store"] = directory.string();
  std::optional<Error> error;
  if (!report.damaged.empty())
    error = Error{
        ErrorCode::damage_found, "verify", directory.string(), count_of(report.damaged.size(), "damaged pack"), 0, {}};
  else if (!report.unreadable.empty())
    error = Error{ErrorCode::io_error,
                  "verify",
                  directory.string(),
                  count_of(report.unreadable.size(), "pack") + " could not be read",
                  0,
                  {}};
  if (error) document["error"] = error_document(*error);
  CAIRN_CHECK(context.output().answer(document, render_keyless(document)));
  if (error && context.output().format() == Format::text) context.output().error_text(*error);
  return error ? ExitCode::failed : ExitCode::done;
}

Result<ExitCode> verify_as_job(Context& context, const VerifyCommand& command) {
  VerifyRequest request;
  request.data_percent = command.data_percent;
  request.repair = command.repair;
  request.accept_gaps = command.accept_gaps;
  request.rate = command.rate;
  // The daemon has another working directory.
  if (!command.from.empty()) request.from = std::filesystem::absolute(command.from).lexically_normal().string();
  if (!is_utf8(request.from))
    return fail(ErrorCode::used_wrongly, "use replica", printable(request.from), "its name is not UTF-8 text");
  CAIRN_TRY(Service* const service, context.service());
  CAIRN_TRY(nlohmann::json started, service->start_verify(request));
  nlohmann::json jobs = nlohmann::json::array();
  jobs.push_back(std::move(started));
  const bool progress = context.output().format() == Format::text && ::isatty(STDERR_FILENO) != 0;
  CAIRN_TRY(jobs, follow_jobs(*service, jobs, progress));
  nlohmann::json document{{"jobs", std::move(jobs)}};
  const nlohmann::json& job = document["jobs"].front();
  const nlohmann::json& error = member(job, "error");
  std::string text = member(job, "result").is_object() ? render_verify(member(job, "result")) : std::string();
  for (const auto& warning : member(job, "warnings"))
    if (warning.is_string()) text += "warning: " + printable(warning.get<std::string>()) + "\n";
  if (error.is_object()) document["error"] = error_document(error_from_json(error));
  CAIRN_CHECK(context.output().answer(document, text));
  if (error.is_object() && context.output().format() == Format::text)
    context.output().error_text(error_from_json(error));
  return exit_code_of(document["jobs"]);
}

}  // namespace

Result<ExitCode> run(Context& context, const VerifyCommand& command) {
  if (command.proof) return verify_proofs(context, command);
  if (command.keyless) return verify_without_keys(context, command);
  return verify_as_job(context, command);
}

}  // namespace cairn::cli
