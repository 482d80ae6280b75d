// SPDX-License-Identifier: GPL-3.0-or-later
// cairn jobs: lists, shows and cancels jobs. Documents: daemon/API.md "Job".
#include "daemon/api/api_requests.h"
#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/grammar/option_values.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/finish_jobs.h"
#include "daemon/service/service.h"

namespace cairn::cli {
namespace {

struct JobsCommand {
  std::string id;  // empty: list
  std::size_t limit = 20;
};

struct JobsCancelCommand {
  std::string id;
};

std::string took_of(const nlohmann::json& job) {
  if (const nlohmann::json& took = member(member(job, "result"), "duration_ms"); took.is_number())
    return format_took(std::chrono::milliseconds(number_of(member(job, "result"), "duration_ms")));
  const auto started = parse_iso_time(text_of(job, "started"));
  const auto ended = parse_iso_time(text_of(job, "ended"));
  if (!started || !ended) return {};
  return format_took(*ended - *started);
}

std::string outcome_of(const nlohmann::json& job) {
  const nlohmann::json& error = member(job, "error");
  if (error.is_object()) return "[" + text_of(error, "name") + "]";
  const nlohmann::json& warnings = member(job, "warnings");
  if (warnings.is_array() && !warnings.empty()) return count_of(warnings.size(), "warning");
  return {};
}

Result<ExitCode> run(Context& context, const JobsCommand& command) {
  CAIRN_TRY(Service* const service, context.service());
  context.note_journal();
  if (!command.id.empty()) {
    CAIRN_TRY(const nlohmann::json job, service->job(command.id));
    CAIRN_CHECK(context.output().answer(job, render_job(job)));
    return ExitCode::done;
  }
  CAIRN_TRY(const nlohmann::json rows, service->jobs(command.limit));
  CAIRN_CHECK(context.output().answer(rows, render_jobs(rows)));
  return ExitCode::done;
}

Result<ExitCode> run(Context& context, const JobsCancelCommand& command) {
  CAIRN_TRY(Service* const service, context.service());
  CAIRN_TRY(const nlohmann::json job, service->cancel_job(command.id));
  CAIRN_CHECK(context.output().answer(job, render_job(job)));
  return ExitCode::done;
}

}  // namespace

std::string render_jobs(const nlohmann::json& rows) {
  if (rows.empty()) return "no jobs yet\n";
  Table table({{"JOB"}, {"KIND"}, {"OBJECT"}, {"STATE"}, {"STARTED"}, {"TOOK", Align::right}, {"TRIGGER"}, {"REMARK"}});
  for (const auto& job : rows)
    table.add({text_of(job, "id"), text_of(job, "kind"), text_of(job, "object"), text_of(job, "state"),
               time_of(job, "started"), took_of(job), text_of(job, "trigger"), outcome_of(job)});
  return table.text();
}

std::string render_job(const nlohmann::json& job) {
  const nlohmann::json& progress = member(job, "progress");
  std::string done;
  if (number_of(progress, "total_bytes") != 0)
    done = size_of(progress, "done_bytes") + " of " + size_of(progress, "total_bytes");
  const nlohmann::json& error = member(job, "error");
  std::string text = fact_lines({{"job", text_of(job, "id")},
                                 {"kind", text_of(job, "kind")},
                                 {"object", text_of(job, "object")},
                                 {"state", text_of(job, "state")},
                                 {"waits", text_of(job, "waiting_for")},
                                 {"trigger", text_of(job, "trigger")},
                                 {"queued", time_of(job, "queued")},
                                 {"started", time_of(job, "started")},
                                 {"ended", time_of(job, "ended")},
                                 {"took", took_of(job)},
                                 {"done", done},
                                 {"point", text_of(job, "point")}});
  const nlohmann::json& result = member(job, "result");
  text += fact_lines({{"read", size_of(result, "read_bytes")},
                      {"new", size_of(result, "new_bytes")},
                      {"stored", size_of(result, "stored_bytes")},
                      {"to", text_of(result, "to")}});
  for (const auto& disk : member(result, "disks")) {
    const std::string note = text_of(disk, "note");
    text += "disk " + printable(text_of(disk, "name")) + ": " + printable(text_of(disk, "how")) +
            (note.empty() ? "" : "; " + printable(note)) + ", read " + size_of(disk, "read_bytes") + "\n";
  }
  for (const auto& file : member(result, "files"))
    if (const std::string zeros = render_zeros(file); !zeros.empty())
      text += "file " + printable(text_of(file, "path")) + "\n" + zeros;
  for (const auto& warning : member(job, "warnings"))
    if (warning.is_string()) text += "warning: " + printable(warning.get<std::string>()) + "\n";
  if (error.is_object())
    text += "error: " + printable(text_of(error, "message")) + " [" + printable(text_of(error, "name")) + "]\n";
  return text;
}

CommandSpec jobs_command() {
  CommandSpec spec;
  spec.words = "jobs";
  spec.summary = "List jobs, show one, or cancel one";
  spec.examples = {"cairn jobs --limit 5", "cairn jobs 20261121T020000Z-3f9a1c",
                   "cairn jobs cancel 20261121T020000Z-3f9a1c"};
  spec.options = {
      value("job", "JOB-ID", "Show this job", &JobsCommand::id),
      parsed_value("--limit", "N", "How many are listed, newest first (default: 20, at most 1000)", &JobsCommand::limit,
                   [](const std::string& text) { return parse_limit(text, kMaxJobsListed, "list jobs"); }),
  };
  set_action<JobsCommand>(spec, run);
  return spec;
}

CommandSpec jobs_cancel_command() {
  CommandSpec spec;
  spec.words = "jobs cancel";
  spec.summary = "Stop a job at its next safe point";
  spec.examples = {"cairn jobs cancel 20261121T020000Z-3f9a1c"};
  spec.options = {value("job", "JOB-ID", "The job", &JobsCancelCommand::id).required()};
  set_action<JobsCancelCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
