// SPDX-License-Identifier: GPL-3.0-or-later
// cairn jobs: lists, shows and cancels jobs. Documents: daemon/API.md "Job".
#include "daemon/api/api_requests.h"
#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/grammar/option_values.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/encryption_text.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/finish_jobs.h"
#include "daemon/cli/work/follow_jobs.h"
#include "daemon/queue/job_filter.h"
#include "daemon/service/service.h"

namespace cairn::cli {
namespace {

struct JobsCommand {
  std::string id;  // empty: list
  std::size_t limit = 20;
  std::optional<std::string> machine;
  std::optional<JobKind> kind;
  std::optional<JobState> state;
  std::optional<UtcTime> since;
  bool all = false;
};

constexpr const char* kListing = "list jobs";

// "failed" and "Failed", "completed-with-warnings" and "CompletedWithWarnings": as one would type it, and as it is
// shown.
Result<std::optional<JobState>> parse_state(const std::string& text) {
  std::string words;
  for (const JobState state : {JobState::queued, JobState::in_progress, JobState::completed,
                               JobState::completed_with_warnings, JobState::failed, JobState::cancelled}) {
    std::string typed;
    for (const char c : to_string(state)) {
      if (c >= 'A' && c <= 'Z' && !typed.empty()) typed += '-';
      typed += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    if (text == typed || text == to_string(state)) return std::optional(state);
    words += (words.empty() ? "" : ", ") + typed;
  }
  return misuse(kListing, "--state \"" + text + "\" is no state of a job", "it is one of " + words);
}

Result<std::optional<JobKind>> parse_kind(const std::string& text) {
  if (const auto kind = parse_job_kind(text)) return kind;
  return misuse(kListing, "--kind \"" + text + "\" is no kind of job", "it is one of backup, restore, prune, verify");
}

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
  JobFilter filter{command.limit, command.machine, command.kind, command.state, command.since};
  filter.empty_prunes = command.all || command.kind == JobKind::prune;
  CAIRN_TRY(const nlohmann::json rows, service->jobs(filter));
  const bool filtered = command.machine || command.kind || command.state || command.since;
  CAIRN_CHECK(context.output().answer(rows, rows.empty() && filtered ? "no jobs like that\n" : render_jobs(rows)));
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
  // When it was queued stands in its name, and how many warnings there are in the remark.
  Table table({{"JOB"},
               {"KIND"},
               {"OBJECT", Align::left, Fit::shorten},
               {"STATE"},
               {"TOOK", Align::right, Fit::drop},
               {"TRIGGER", Align::left, Fit::drop},
               {"REMARK", Align::left, Fit::shorten}});
  for (const auto& job : rows) {
    const auto state = state_of(job);
    table.add({text_of(job, "id"), text_of(job, "kind"), text_of(job, "object"),
               state == JobState::completed_with_warnings ? std::string(to_string(JobState::completed))
                                                          : text_of(job, "state"),
               took_of(job), text_of(job, "trigger"), outcome_of(job)});
  }
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
    if (const std::string words = encryption_text(disk); !words.empty()) text += "  encryption: " + words + "\n";
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
  spec.examples = {"cairn jobs --limit 5", "cairn jobs --machine web-01 --state failed --since 2026-11-01",
                   "cairn jobs 20261121T020000Z-3f9a1c", "cairn jobs cancel 20261121T020000Z-3f9a1c"};
  spec.options = {
      value("job", "JOB-ID", "Show this job", &JobsCommand::id, Completes::jobs),
      parsed_value("--limit", "N", "How many are listed, newest first (default: 20, at most 1000)", &JobsCommand::limit,
                   [](const std::string& text) { return parse_limit(text, kMaxJobsListed, kListing); }),
      value("--machine", "MACHINE", "Only those of this machine, its points and its prunes", &JobsCommand::machine,
            Completes::machines),
      parsed_value("--kind", "KIND", "Only these: backup, restore, prune, verify", &JobsCommand::kind, parse_kind)
          .one_of({"backup", "restore", "prune", "verify"}),
      parsed_value("--state", "STATE",
                   "Only these: queued, in-progress, completed, completed-with-warnings, failed, cancelled",
                   &JobsCommand::state, parse_state)
          .one_of({"queued", "in-progress", "completed", "completed-with-warnings", "failed", "cancelled"}),
      parsed_value("--since", "TIME", "Only those queued since then: 2027-01-31 or 2027-01-31T12:00:00Z, UTC",
                   &JobsCommand::since, [](const std::string& text) { return parse_time(text, "--since", kListing); }),
      flag("--all", "Also prunes that had nothing to do", &JobsCommand::all),
  };
  set_action<JobsCommand>(spec, run);
  return spec;
}

CommandSpec jobs_cancel_command() {
  CommandSpec spec;
  spec.words = "jobs cancel";
  spec.summary = "Stop a job at its next safe point";
  spec.examples = {"cairn jobs cancel 20261121T020000Z-3f9a1c"};
  spec.options = {value("job", "JOB-ID", "The job", &JobsCancelCommand::id, Completes::jobs).required()};
  set_action<JobsCancelCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
