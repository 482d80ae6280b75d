// SPDX-License-Identifier: GPL-3.0-or-later
// cairn prune: applies the policies, or says what they would do. Document: {"jobs":[Job]}, daemon/API.md "Result of a
// prune".
#include <nlohmann/json.hpp>

#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/grammar/option_values.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/busy_wait.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/finish_jobs.h"
#include "daemon/cli/work/follow_jobs.h"
#include "daemon/retention/prune_plan.h"
#include "daemon/service/service.h"

namespace cairn::cli {
namespace {

struct PruneCommand {
  std::string machine;  // empty: all
  bool dry_run = false;
  bool accept_clock = false;
  bool accept_damage = false;
  std::uint64_t rate = 0;  // bytes a second; 0: no limit
  BusyWait::Time wait = BusyWait::usual();
  std::string policy;  // empty: as the settings say
};

std::string joined(const nlohmann::json& texts) {
  std::string all;
  for (const auto& text : texts)
    if (text.is_string()) all += (all.empty() ? "" : ", ") + text.get<std::string>();
  return printable(all);
}

std::optional<PruneAction> action_of(const nlohmann::json& row) {
  return parse_prune_action(text_of(row, "action"));
}

// "purge" and what it says of the point now.
std::string fate_of(const nlohmann::json& row, bool dry_run) {
  const auto action = action_of(row);
  if (action == PruneAction::keep) return "keep";
  if (action == PruneAction::wait) return "deleted";
  if (action == PruneAction::hide) return dry_run ? "would be deleted" : "deleted";
  return dry_run ? "would be removed" : "removed";
}

std::string collection_text(const nlohmann::json& collection, bool dry_run) {
  if (!collection.is_object()) return {};
  if (const std::string why = text_of(collection, "skipped"); !why.empty())
    return "no garbage was collected: " + printable(why) + "\n";
  if (member(collection, "error").is_object()) return {};  // stands among the warnings
  std::string text = dry_run ? "to be freed now: " : "freed ";
  text += size_of(collection, "freed_bytes") + " in " + count_of(number_of(collection, "removed_packs"), "pack");
  if (const std::uint64_t rewritten = number_of(collection, "rewritten_packs"); rewritten > 0)
    text += ", " + std::to_string(rewritten) + " of them rewritten";
  if (const std::uint64_t waiting = number_of(collection, "waiting_bytes"); waiting > 0)
    text += "; " + format_size(waiting) + " more by the next prune";
  return text + "\n";
}

// Runs a dry run to its end: its job, in a list.
Result<nlohmann::json> run_preview(Service& service, const PruneRequest& request) {
  CAIRN_TRY(nlohmann::json started, service.start_prune(request));
  return follow_jobs(service, nlohmann::json::array({std::move(started)}), false);
}

// What it would do to each point, and why.
nlohmann::json plan_of(const nlohmann::json& jobs) {
  nlohmann::json plan = nlohmann::json::array();
  for (const auto& machine : member(member(jobs.at(0), "result"), "machines"))
    for (const auto& row : member(machine, "points"))
      plan.push_back({text_of(row, "name"), text_of(row, "action"), member(row, "reasons")});
  return plan;
}

// What a daemon refuses on account of the settings that it has: with those of the file it may be right.
bool is_of_settings(const Error& error) {
  return error.code == ErrorCode::used_wrongly || error.code == ErrorCode::no_such_machine;
}

// The preview is of the settings as they stand in the file, since that is what people change before they ask. Where a
// daemon runs with others, that is said.
Result<ExitCode> preview(Context& context, const PruneRequest& request) {
  CAIRN_TRY(Service* const service, context.service());
  const auto jobs = run_preview(*service, request);
  const auto finish = [](Context& with, const nlohmann::json& ended, std::vector<std::string> warnings) {
    return finish_jobs(with, {{"jobs", ended}}, render_prune, std::move(warnings));
  };
  const auto settings = context.settings();
  const bool alone = !context.with_daemon() || !settings;
  if (!jobs && (alone || !is_of_settings(jobs.error()))) return pass_on(jobs.error());
  if (alone) return finish(context, *jobs, {});
  const std::string file = (*settings)->file.string();
  Context here(context.globals());
  here.leave_daemon();
  const auto local = here.service();
  const auto of_file = local ? run_preview(**local, request) : Result<nlohmann::json>(pass_on(local.error()));
  if (!of_file && !jobs) return pass_on(local ? of_file.error() : jobs.error());
  // Who may not open the store has the daemon's word alone.
  if (!of_file)
    return finish(context, *jobs,
                  {"this is by the settings that the daemon runs with; by " + file +
                   " as it is now it could not be said: " + of_file.error().message()});
  if (jobs && plan_of(*of_file) == plan_of(*jobs)) return finish(here, *of_file, {});
  const std::string until = " until it has read the file: \"systemctl reload cairnd\"";
  return finish(
      here, *of_file,
      {"this is by " + file + " as it is now; the daemon runs with other settings, and " +
       (jobs ? "would do something else" + until : "refuses this" + until + " (" + jobs.error().message() + ")")});
}

Result<ExitCode> run(Context& context, const PruneCommand& command) {
  PruneRequest request;
  if (!command.machine.empty()) request.machine = command.machine;
  request.dry_run = command.dry_run;
  request.accept_clock = command.accept_clock;
  request.accept_damage = command.accept_damage;
  request.rate = command.rate;
  if (!command.policy.empty()) request.policy = command.policy;
  request.wait_s = static_cast<std::uint64_t>(command.wait.count());
  if (command.dry_run) return preview(context, request);
  CAIRN_TRY(Service* const service, context.service());
  CAIRN_TRY(const nlohmann::json started, while_busy(command.wait, [&] { return service->start_prune(request); }));
  return finish_jobs(context, {{"jobs", nlohmann::json::array({started})}}, render_prune);
}

}  // namespace

std::string render_prune(const nlohmann::json& result) {
  const bool dry_run = flag_of(result, "dry_run");
  std::string text;
  for (const auto& machine : member(result, "machines")) {
    text += printable(text_of(machine, "machine")) + ": ";
    const std::string policy = text_of(machine, "policy");
    text += policy.empty() ? "not in the settings" : "policy " + printable(policy);
    text += ", " + std::to_string(number_of(machine, "kept")) + " kept, " +
            std::to_string(number_of(machine, "deleted")) + (dry_run ? " to be deleted, " : " deleted, ") +
            std::to_string(number_of(machine, "waiting")) + " deleted before, " +
            std::to_string(number_of(machine, "purged")) + (dry_run ? " to be removed\n" : " removed\n");
    Table table({{"POINT"}, {"FATE"}, {"UNTIL"}, {"WHY"}});
    for (const auto& row : member(machine, "points")) {
      const auto action = action_of(row);
      const bool waits = action == PruneAction::wait;
      if (!dry_run && (action == PruneAction::keep || waits) && !flag_of(row, "damaged")) continue;
      const bool ends = action == PruneAction::hide || waits;
      table.add({text_of(row, "name"), fate_of(row, dry_run), ends ? time_of(row, "purge_after") : "",
                 joined(member(row, "reasons"))});
    }
    if (!table.empty()) text += table.text();
    for (const auto& row : member(machine, "points"))
      if (flag_of(row, "damaged"))
        text += "warning: " + printable(text_of(row, "name") + ": " + text_of(row, "note")) + "\n";
  }
  return text + collection_text(member(result, "collection"), dry_run);
}

CommandSpec prune_command() {
  CommandSpec spec;
  spec.words = "prune";
  spec.summary = "Apply the policies: expire recovery points, and give space back";
  spec.examples = {"cairn prune --dry-run", "cairn prune web-01", "cairn prune --rate 50MiB",
                   "cairn prune web-01 --policy default"};
  spec.notes =
      "A recovery point that the policy's retention rule does not keep is deleted: it is hidden, and \"cairn "
      "undelete\"\n"
      "brings it back until soft_delete has passed. Then it is removed for good, and its space is given back.\n"
      "--dry-run says for every point what would happen to it, and why, by the settings file as it is now; it says\n"
      "so when the daemon still runs with others. Each backup prunes its machine afterwards.\n"
      "Points of a machine that is not in the settings any more stay, unless --policy says how long they are kept.\n"
      "When the clock went back, or far ahead, nothing is removed: set it right, or give --accept-clock.";
  spec.options = {
      value("machine", "MACHINE", "Only this machine's points (default: all)", &PruneCommand::machine,
            Completes::machines),
      flag("--dry-run", "Say what would be done, and do nothing", &PruneCommand::dry_run),
      flag("--accept-clock", "The clock is right, whatever the store says about it", &PruneCommand::accept_clock),
      flag("--accept-damage", "Also remove data that only damaged points or maps could still need",
           &PruneCommand::accept_damage),
      value("--policy", "POLICY", "The policy to apply to MACHINE, which is not in the settings any more",
            &PruneCommand::policy),
      parsed_value("--rate", "SIZE", "Read and write at most so many bytes a second (default: no limit)",
                   &PruneCommand::rate, [](const std::string& text) { return parse_rate(text, "prune"); }),
      wait_option(&PruneCommand::wait),
  };
  set_action<PruneCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
