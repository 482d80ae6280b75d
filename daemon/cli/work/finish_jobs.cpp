// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/work/finish_jobs.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "crypto/volume/volume_facts.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/encryption_text.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/follow_jobs.h"
#include "daemon/queue/job_record.h"
#include "daemon/service/service.h"

namespace cairn::cli {

namespace {

constexpr std::size_t kRangesShown = 20;

// Without a daemon the prune that follows a backup is this process's own, too: it waits for it. What went wrong with
// one is reported, and is no failure of the backup.
std::vector<std::string> wait_for_prunes(Service& service, const nlohmann::json& jobs) {
  nlohmann::json prunes = nlohmann::json::array();
  for (const auto& job : jobs) {
    const std::string id = text_of(member(job, "result"), "prune");
    if (id.empty()) continue;
    // Of very many jobs the oldest are forgotten when they have ended.
    if (auto prune = service.job(id)) prunes.push_back(*std::move(prune));
  }
  const auto ended = follow_jobs(service, prunes, false);
  if (!ended) return {"the prunes after the backups: " + ended.error().message()};
  std::vector<std::string> warnings;
  for (const auto& prune : *ended) {
    const std::string about = text_of(prune, "object") + ": the prune after the backup: ";
    const nlohmann::json& error = member(prune, "error");
    if (error.is_object()) warnings.push_back(about + text_of(error, "message") + " [" + text_of(error, "name") + "]");
    for (const auto& warning : member(prune, "warnings"))
      if (warning.is_string()) warnings.push_back(about + warning.get<std::string>());
  }
  return warnings;
}

// Each error once, with the objects of all the jobs that met it: "web-01, web-02".
std::vector<std::pair<Error, std::string>> errors_of(const nlohmann::json& jobs) {
  std::vector<std::pair<Error, std::string>> errors;
  for (const auto& job : jobs) {
    if (!member(job, "error").is_object()) continue;
    Error error = error_from_json(member(job, "error"));
    const std::string message = error.message();
    const auto known =
        std::ranges::find_if(errors, [&](const auto& entry) { return entry.first.message() == message; });
    if (known == errors.end())
      errors.emplace_back(std::move(error), text_of(job, "object"));
    else
      known->second += ", " + text_of(job, "object");
  }
  return errors;
}

}  // namespace

std::string render_zeros(const nlohmann::json& file) {
  const nlohmann::json& damaged = member(file, "damaged");
  const nlohmann::json& ranges = member(damaged, "ranges");
  std::string text;
  std::size_t shown = 0;
  for (const auto& range : ranges) {
    const std::string bytes = bytes_of(range);
    if (bytes.empty()) continue;
    if (shown == kRangesShown) break;
    ++shown;
    text += "    zeros: bytes " + bytes + "\n";
  }
  if (shown < ranges.size())
    text += "    zeros: and more, " + size_of(damaged, "bytes") + " in all: --json lists " +
            count_of(ranges.size(), "range") + "\n";
  return text;
}

std::string render_keys_at_hand(const nlohmann::json& keys) {
  std::string text;
  for (const auto& key : keys) {
    std::string volume = volume_name(static_cast<unsigned>(number_of(key, "partition")), text_of(key, "within"));
    if (!volume.empty()) volume = ", " + volume;
    const std::string state = text_of(key, "state");
    text += "  " + text_of(key, "disk") + volume + ": " + text_of(key, "type") + ", ";
    if (state == "no-secret")
      text += "opens without any secret\n";
    else if (text_of(key, "secret").empty())
      text += "the point holds nothing that opens it\n";
    else
      text += "opens with " + text_of(key, "secret") + " version " + text_of(key, "secret_version") + " (" +
              text_of(key, "bek_type") + "), " +
              (state == "ready"     ? "which is in its vault and was tried now\n"
               : state == "missing" ? "which is not in its vault now\n"
                                    : "and whether that is to be had now is not known\n");
    if (state == "missing" || state == "unknown")
      for (const auto& command : member(key, "commands"))
        if (command.is_string()) text += "    " + command.get<std::string>() + "\n";
  }
  return printable(text, Lines::keep);
}

std::string render_finished_job(const nlohmann::json& job, ResultText result_text) {
  const nlohmann::json& result = member(job, "result");
  const std::string object = text_of(job, "object");
  const std::string point = text_of(job, "point");
  std::string line = printable(point.empty() ? object : point) + "  " + printable(text_of(job, "state"));
  if (result.is_object() && text_of(job, "kind") == to_string(JobKind::backup)) {
    line += "  read " + format_size(number_of(result, "read_bytes")) + ", new " +
            format_size(number_of(result, "new_bytes")) + ", stored " + format_size(number_of(result, "stored_bytes"));
  }
  if (result.is_object()) line += ", " + format_took(std::chrono::milliseconds(number_of(result, "duration_ms")));
  std::string all = line + "\n";
  for (const auto& file : member(result, "files"))
    all += "  " + printable(text_of(file, "path")) + "  " + size_of(file, "size") + ", " + size_of(file, "data_bytes") +
           " of it data\n" + render_zeros(file);
  all += render_keys_at_hand(member(result, "keys"));
  if (result.is_object() && result_text != nullptr) all += result_text(result);
  for (const auto& disk : member(result, "disks"))
    if (text_of(disk, "encryption") == "unknown")
      all += "  disk " + printable(text_of(disk, "name")) + ": encryption " + encryption_text(disk) + "\n";
  for (const auto& warning : member(job, "warnings"))
    if (warning.is_string()) all += "  warning: " + printable(warning.get<std::string>()) + "\n";
  return all;
}

Result<ExitCode> finish_jobs(Context& context, const nlohmann::json& started, ResultText result_text,
                             std::vector<std::string> warnings) {
  CAIRN_TRY(Service* const service, context.service());
  const bool progress = context.output().format() == Format::text && ::isatty(STDERR_FILENO) != 0;
  CAIRN_TRY(nlohmann::json jobs, follow_jobs(*service, member(started, "jobs"), progress));
  nlohmann::json document{{"jobs", std::move(jobs)}};
  std::string text;
  for (const auto& job : document["jobs"]) {
    text += render_finished_job(job, result_text);
    const nlohmann::json& error = member(job, "error");
    if (error.is_object() && !document.contains("error")) document["error"] = error_document(error_from_json(error));
  }
  if (!context.with_daemon()) {
    std::ranges::move(wait_for_prunes(*service, document["jobs"]), std::back_inserter(warnings));
    if (auto of_journal = context.journal_warning()) warnings.push_back(*std::move(of_journal));
  }
  for (const std::string& warning : warnings) text += "warning: " + printable(warning) + "\n";
  if (!warnings.empty()) document["warnings"] = warnings;
  CAIRN_CHECK(context.output().answer(document, text));
  if (context.output().format() == Format::text) {
    for (const auto& [error, objects] : errors_of(document["jobs"])) context.output().error_text(error, objects);
  }
  return exit_code_of(document["jobs"]);
}

}  // namespace cairn::cli
