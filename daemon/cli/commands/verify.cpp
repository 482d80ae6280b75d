// SPDX-License-Identifier: GPL-3.0-or-later
// cairn verify: as a job, the daemon's or this process's; --keyless here, with nothing but the directory.
// Documents: {"jobs":[Job],"error":Error}, the job's result being the report (daemon/API.md "Verify"); --keyless:
// {"clean","packs_read","bytes_read","bytes_per_second","damaged":[{"name","because"}],"unreadable":[TEXT],
// "unexpected_files":[NAME],"expected_packs":N|null,"not_expected":TEXT,"missing":[NAME],"points":N,"warnings":[TEXT],
// "duration_ms","error":Error}.
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "config/yaml_reader.h"
#include "daemon/cli/commands/key_drill.h"
#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/grammar/option_values.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/follow_jobs.h"
#include "daemon/queue/job_record.h"
#include "daemon/service/service.h"
#include "fs/io/open_backend.h"
#include "fs/store/store_places.h"
#include "fs/store/verify/verify.h"

namespace cairn::cli {
namespace {

struct VerifyCommand {
  bool proof = false;
  double data_percent = 0;
  bool keyless = false;
  bool repair = false;
  std::string from;  // with repair: a copy of the store; empty: none
  bool accept_gaps = false;
  std::uint64_t rate = 0;  // bytes a second; 0: no limit
  std::string what;        // empty: all points; a machine; MACHINE@POINT
};

Result<ExitCode> verify_without_keys(Context& context, const VerifyCommand& command) {
  CAIRN_TRY(const std::filesystem::path directory, context.store_directory());
  const auto backend = open_backend(directory);
  const Interrupts interrupts;
  std::stop_source stop;
  KeylessOptions options;
  options.index_folder = places_of(directory).index_folder;
  options.rate = command.rate;
  options.stop = stop.get_token();
  options.progress = [&](std::uint64_t, std::uint64_t) {
    if (Interrupts::seen()) stop.request_stop();
  };
  CAIRN_TRY(const KeylessReport report, verify_keyless(*backend, options));
  nlohmann::json document = to_json(report);
  document["warnings"] = keyless_warnings(document);
  document["store"] = directory.string();
  std::optional<Error> error;
  if (!report.damaged.empty() || !report.missing.empty())
    error = Error{
        ErrorCode::damage_found,
        "verify",
        directory.string(),
        count_of(report.damaged.size(), "damaged pack") + ", " + std::to_string(report.missing.size()) + " missing",
        0,
        {}};
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
  if (error) return ExitCode::failed;
  return document["warnings"].empty() ? ExitCode::done : ExitCode::warnings;
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

Result<double> parse_percent(std::string text) {
  if (text.empty()) return 100.0;
  if (text.back() == '%') text.pop_back();
  double percent = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), percent);
  if (problem != std::errc() || end != text.data() + text.size() || !(percent > 0) || percent > 100)
    return misuse("verify", "--data \"" + text + "\" is no percentage above 0 and up to 100",
                  "give --data alone for everything, or --data 10");
  return percent;
}

Result<void> check(VerifyCommand& command, const GlobalOptions&) {
  const bool data = command.data_percent != 0;
  const bool changes = command.repair || command.accept_gaps || !command.from.empty();
  if (command.proof && (data || command.keyless || changes))
    return misuse("verify", "--proof goes alone: it tries keys, and nothing else");
  if (command.keyless && (data || changes))
    return misuse("verify", "--keyless goes alone: it reads every pack, and changes nothing");
  if (!command.from.empty() && !command.repair)
    return misuse("verify", "--from goes with --repair only", "add --repair");
  if (!command.what.empty() && !command.proof)
    return misuse("verify", "the whole store is verified, not " + command.what + " alone",
                  "leave it out; or add --proof, which tries the keys of one machine or point");
  return {};
}

Result<ExitCode> run(Context& context, const VerifyCommand& command) {
  if (command.proof) return verify_proofs(context, command.what);
  if (command.keyless) return verify_without_keys(context, command);
  return verify_as_job(context, command);
}

}  // namespace

CommandSpec verify_command() {
  CommandSpec spec;
  spec.words = "verify";
  spec.summary = "Check that everything is there and as it was written, and repair what is not";
  spec.examples = {"cairn verify                       points, maps, index: quick",
                   "cairn verify --data                and every byte of every pack",
                   "cairn verify --data 10 --rate 50MiB",
                   "cairn verify --repair --from /mnt/copy-of-the-store",
                   "cairn verify --keyless --store /mnt/copy-of-the-store",
                   "cairn verify --proof web-01@latest"};
  spec.notes =
      "Damage is reported as disks of recovery points with offsets in bytes. It stays in \"cairn status\", and the\n"
      "command ends with exit code 1. --data PERCENT reads the packs whose last check is longest ago.\n"
      "--repair takes what is intact in the damaged file itself, in other packs, and in a copy of the store (--from).\n"
      "New files are written and read back first. The old ones stay in quarantine, the store's folder aside/, until a\n"
      "later \"cairn verify --data\" finds no damage. What no copy has is stored again by the next backup that still\n"
      "finds it in the image.\n"
      "--keyless needs no key, only the directory: every pack is named by the hash of its bytes. Which packs there "
      "must\n"
      "be it knows from the index; without that it says so, and ends with exit code 3.\n"
      "--proof unlocks every encrypted disk of the points with the keys in the points, from the store alone.";
  spec.options = {
      parsed_value("--data", "PERCENT", "Read the packs too: all of them, or PERCENT of their bytes",
                   &VerifyCommand::data_percent, parse_percent)
          .optional_value(),
      flag("--keyless", "Check every pack against its name, without any key", &VerifyCommand::keyless),
      flag("--repair", "Repair the damage that is found, from what is intact", &VerifyCommand::repair),
      value("--from", "DIR", "With --repair: a copy of the store's directory", &VerifyCommand::from, Completes::files),
      flag("--accept-gaps", "Record points that are missing as gone for good", &VerifyCommand::accept_gaps),
      parsed_value("--rate", "SIZE", "Read at most so many bytes a second, such as 100MiB (default: no limit)",
                   &VerifyCommand::rate, [](const std::string& text) { return parse_rate(text, "verify"); }),
      flag("--proof", "Try the keys in the points on the headers in the points", &VerifyCommand::proof),
      value("what", "MACHINE", "With --proof: a machine, or MACHINE@POINT (default: all)", &VerifyCommand::what,
            Completes::machines_or_points),
  };
  set_action<VerifyCommand>(spec, run, check);
  return spec;
}

}  // namespace cairn::cli
