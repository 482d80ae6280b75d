// SPDX-License-Identifier: GPL-3.0-or-later
// cairn status: daemon, store, mount and machines at a glance, warnings first. Documents: daemon/API.md "Status"; the
// command adds "warnings", the list that its text begins with.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/follow_jobs.h"
#include "daemon/keys/machine_keys.h"
#include "daemon/service/service.h"
#include "fs/store/point/point_labels.h"

namespace cairn::cli {
namespace {

struct StatusCommand {};

std::string due(const nlohmann::json& machine, UtcTime now) {
  const auto past = since(machine, "next_run", now);
  if (!past) return {};
  return past->count() > 0 ? "overdue" : "in " + format_age(-*past);
}

// "1.20 GiB", "more than 1.20 GiB"; empty: not known.
std::string clone_space(const nlohmann::json& disk) {
  const std::string size = size_of(disk, "clone_bytes");
  return size.empty() || flag_of(disk, "clone_bytes_complete") ? size : "more than " + size;
}

std::string render_tracking(const nlohmann::json& machines) {
  Table table({{"DISK"},
               {"TRACKING"},
               {"READ WHOLE", Align::left, Fit::drop},
               {"CLONE KEEPS", Align::right, Fit::drop},
               {"CLONE, OR WHY NOT", Align::left, Fit::shorten}});
  bool any = false;
  for (const auto& machine : machines) {
    for (const auto& disk : member(machine, "disks")) {
      any = true;
      const std::string reason = text_of(disk, "reason");
      table.add({text_of(machine, "machine") + "/" + text_of(disk, "disk"), text_of(disk, "tracking"),
                 time_of(disk, "last_full_read"), clone_space(disk), reason.empty() ? text_of(disk, "clone") : reason});
    }
  }
  return any ? table.text() : std::string();
}

std::string last_job(const nlohmann::json& machine) {
  const nlohmann::json& job = member(machine, "last_job");
  const nlohmann::json& error = member(job, "error");
  std::string text = text_of(job, "state");
  if (error.is_object()) text += " [" + text_of(error, "name") + "]";
  return text;
}

void add_clock_warnings(const nlohmann::json& document, std::vector<std::string>& warnings) {
  if (const nlohmann::json& error = member(member(document, "clock"), "error"); error.is_object())
    warnings.push_back(text_of(error, "message") + " [" + text_of(error, "name") + "]");
  const nlohmann::json& jump = member(member(document, "daemon"), "clock_jump");
  if (jump.is_object())
    warnings.push_back("the clock was set while the daemon ran: from " + time_of(jump, "from") + " to " +
                       time_of(jump, "to") + "; schedules go by it as it is now");
}

// A hold is a matter of milliseconds, and has an end of at most a minute.
void add_guest_warnings(const nlohmann::json& document, UtcTime now, std::vector<std::string>& warnings) {
  for (const auto& guest : member(document, "guests_held")) {
    const auto held = since(guest, "since", now);
    if (!held || *held < std::chrono::minutes(2)) continue;
    warnings.push_back(fmt::format(
        "the guest of {} was held for a backup at {}, and was not seen to run since: it may "
        "hang as soon as it writes [{}]",
        text_of(guest, "machine"), time_of(guest, "since"), catalogue_entry(ErrorCode::guest_not_thawed).name));
  }
}

// What the machine's last point says of its making. The job that made it may be long forgotten.
void add_label_warnings(const nlohmann::json& machine, std::vector<std::string>& warnings) {
  const nlohmann::json& labels = member(machine, "last_point_labels");
  const std::string last = text_of(machine, "last_point");
  const auto add = [&](ErrorCode code, const std::string& text) {
    warnings.push_back(last + " " + text + " [" + std::string(catalogue_entry(code).name) + "]");
  };
  if (text_of(labels, "consistency") == to_string(Consistency::torn))
    add(ErrorCode::disk_torn, "is torn: a disk was written to while it was read");
  if (flag_of(labels, "suspect")) add(ErrorCode::disk_suspect, "is suspect: a disk is smaller than before, or empty");
  if (flag_of(labels, "in_future")) add(ErrorCode::point_in_future, "is dated in the future");
}

Result<ExitCode> run(Context& context, const StatusCommand&) {
  CAIRN_TRY(Service* const service, context.service());
  CAIRN_TRY(nlohmann::json document, service->status());
  const UtcTime now = system_clock().now();
  document["warnings"] = status_warnings(document, now);
  CAIRN_CHECK(context.output().answer(document, render_status(document, now)));
  return ExitCode::done;
}

// Which settings the daemon works with, where they are not those of the file.
void add_settings_warnings(const nlohmann::json& daemon, std::vector<std::string>& warnings) {
  const nlohmann::json& error = member(daemon, "reload_error");
  if (error.is_object()) {
    std::string message = text_of(error, "message");  // a line for each problem of the file
    std::ranges::replace(message, '\n', ' ');
    warnings.push_back("the daemon works with the settings of " + time_of(daemon, "settings_time") +
                       ": reading them again failed: " + message + " [" + text_of(error, "name") + "]");
  } else if (flag_of(daemon, "settings_changed")) {
    warnings.push_back(text_of(daemon, "settings") + " was changed since the daemon read it: systemctl reload cairnd");
  }
  if (const std::string keys = text_of(daemon, "needs_restart"); !keys.empty())
    warnings.push_back("changed settings wait for a restart of the daemon: " + keys + " (systemctl restart cairnd)");
}

constexpr double kNearlyFullPercent = 80;
constexpr double kFullSoonPercent = 90;

// "12.30 GiB free of 1.00 TiB, 9 days left at the rate of the last two weeks"; empty: not known.
std::string free_text(const nlohmann::json& store) {
  if (!member(store, "free_bytes").is_number()) return {};
  std::string text = size_of(store, "free_bytes") + " free of " + size_of(store, "total_bytes");
  if (const nlohmann::json& days = member(store, "days_left"); days.is_number())
    text += days.get<double>() < 1 ? ", less than a day left at the rate of the last two weeks"
                                   : fmt::format(", {} left at the rate of the last two weeks",
                                                 count_of(static_cast<std::uint64_t>(days.get<double>()), "day"));
  return text;
}

void add_space_warnings(const nlohmann::json& store, std::vector<std::string>& warnings) {
  const nlohmann::json& used = member(store, "used_percent");
  if (!used.is_number() || used.get<double>() < kNearlyFullPercent) return;
  warnings.push_back(fmt::format("the store's file system is {:.0f} % full ({}): {}", std::floor(used.get<double>()),
                                 free_text(store),
                                 used.get<double>() < kFullSoonPercent
                                     ? "plan for more space, or keep fewer points"
                                     : "backups fail when it is full; make space, or keep fewer points and prune"));
}

// "1 running, 0 waiting; in other processes: backup of web-01".
std::string jobs_text(const nlohmann::json& jobs) {
  std::string text = fmt::format("{} running, {} waiting", number_of(jobs, "running"), number_of(jobs, "queued"));
  std::string others;
  for (const auto& job : member(jobs, "elsewhere"))
    others += (others.empty() ? "" : ", ") + text_of(job, "kind") + " of " + text_of(job, "object");
  return others.empty() ? text : text + "; in other processes: " + others;
}

}  // namespace

std::vector<std::string> status_warnings(const nlohmann::json& document, UtcTime now) {
  std::vector<std::string> warnings;
  const bool running = flag_of(member(document, "daemon"), "running");
  if (!running)
    warnings.emplace_back("no daemon is running: nothing is backed up on schedule (systemctl start cairnd)");
  add_rollback_warnings(member(document, "rollback"), warnings);
  add_verify_warnings(member(document, "verify"), now, warnings);
  add_settings_warnings(member(document, "daemon"), warnings);
  add_space_warnings(member(document, "store"), warnings);
  const nlohmann::json& mount = member(document, "mount");
  if (const std::string state = text_of(mount, "state"); running && mount.is_object() && state != "mounted") {
    std::string text = "recovery points are not mounted at " + text_of(mount, "path");
    if (state == "unknown") text = "whether recovery points are mounted at " + text_of(mount, "path") + " is not known";
    if (state == "covered")
      text = "something else is mounted over the recovery points at " + text_of(mount, "path") + ": unmount it";
    if (const std::string why = text_of(member(mount, "error"), "message"); !why.empty()) text += ": " + why;
    warnings.push_back(text);
  }
  if (const nlohmann::json& error = member(member(document, "store"), "error"); error.is_object())
    warnings.push_back(text_of(error, "message") + "; store.json.copy is used [" + text_of(error, "name") + "]");
  if (const nlohmann::json& error = member(member(document, "store"), "index_error"); error.is_object())
    warnings.push_back(text_of(error, "message") + "; reading works without it, slower at first [" +
                       text_of(error, "name") + "]");
  const nlohmann::json& journal_error = member(member(document, "journal"), "error");
  if (journal_error.is_object())
    warnings.push_back(text_of(journal_error, "message") + " [" + text_of(journal_error, "name") + "]");
  add_clock_warnings(document, warnings);
  add_guest_warnings(document, now, warnings);
  for (const auto& machine : member(document, "machines")) {
    const std::string name = text_of(machine, "machine");
    add_label_warnings(machine, warnings);
    if (!flag_of(machine, "in_settings")) {
      warnings.push_back(name + " is not in the settings any more: its points stay, but it is not backed up");
      continue;
    }
    const nlohmann::json& job = member(machine, "last_job");
    const auto state = state_of(job);
    if (state == JobState::failed) {
      warnings.push_back(name + ": the last job failed: " + text_of(member(job, "error"), "message") + " [" +
                         text_of(member(job, "error"), "name") + "]");
    } else if (state == JobState::completed_with_warnings) {
      for (const auto& warning : member(job, "warnings"))
        if (warning.is_string()) warnings.push_back(name + ": " + warning.get<std::string>());
    }
    for (const auto& finding : member(member(machine, "keys"), "findings"))
      if (text_of(finding, "state") != to_string(KeyFinding::Kind::good))
        warnings.push_back(name + "/" + text_of(finding, "disk") + ": " + text_of(finding, "detail") + " [" +
                           text_of(member(finding, "error"), "name") + "]");
    if (const nlohmann::json& proof = member(machine, "proof"); flag_of(proof, "wanting")) {
      const std::string last = text_of(proof, "last_proved");
      if (last.empty())
        warnings.push_back(name + " has no recovery point that was proved");
      else
        warnings.push_back(fmt::format("{}: the newest recovery point that was proved is {}", name, last));
    }
    if (number_of(machine, "points") == 0) warnings.push_back(name + " has no recovery point yet");
    // An hour's grace: jitter and a queue are no reason to wake anybody.
    if (const auto past = since(machine, "next_run", now); running && past && *past > std::chrono::hours(1))
      warnings.push_back(name + ": its run of " + time_of(machine, "next_run") + " has not started");
  }
  return warnings;
}

namespace {
// As it was when it was measured last: measuring reads all disk maps.
std::string space_text(const nlohmann::json& space) {
  if (!space.is_object()) return "not measured yet: \"cairn store info\" does";
  return fmt::format("{} stored for {} of disks; {} reclaimable, the next prune frees {} (at {})",
                     size_of(space, "stored_bytes"), size_of(space, "logical_bytes"),
                     size_of(space, "reclaimable_bytes"), size_of(space, "next_prune_frees_bytes"),
                     time_of(space, "measured"));
}
}  // namespace

std::string render_status(const nlohmann::json& document, UtcTime now) {
  std::string text;
  for (const std::string& warning : status_warnings(document, now)) text += "warning: " + printable(warning) + "\n";
  if (!text.empty()) text += "\n";
  const nlohmann::json& daemon = member(document, "daemon");
  const nlohmann::json& store = member(document, "store");
  const nlohmann::json& mount = member(document, "mount");
  const nlohmann::json& jobs = member(document, "jobs");
  std::string daemon_text = "not running";
  if (flag_of(daemon, "running"))
    daemon_text = "running, pid " + std::to_string(number_of(daemon, "pid")) + ", since " + time_of(daemon, "started");
  std::string settings_text = text_of(daemon, "settings");
  if (const std::string time = time_of(daemon, "settings_time"); !time.empty()) settings_text += " of " + time;
  std::string mount_text;
  if (mount.is_object()) mount_text = text_of(mount, "path") + " (" + text_of(mount, "state") + ")";
  text += fact_lines(
      {{"daemon", daemon_text},
       {"settings", settings_text},
       {"store", text_of(store, "path") + ", " + count_of(number_of(store, "points"), "point") +
                     (size_of(store, "stored_bytes").empty() ? std::string()
                                                             : ", " + size_of(store, "stored_bytes") + " stored")},
       {"free", free_text(store)},
       {"space", space_text(member(document, "space"))},
       {"mount", mount_text},
       {"jobs", jobs_text(jobs)},
       {"verified", render_verify_status(member(document, "verify"), now)},
       {"no recent proof", count_of(number_of(document, "machines_without_recent_proof"), "machine")}});
  const nlohmann::json& machines = member(document, "machines");
  if (!machines.is_array() || machines.empty()) return text + "\nno machines in the settings\n";
  Table table({{"MACHINE"},
               {"POLICY", Align::left, Fit::drop},
               {"POINTS", Align::right, Fit::drop},
               {"LAST POINT"},
               {"AGE", Align::right},
               {"PROOF"},
               {"NEXT RUN"},
               {"LAST JOB", Align::left, Fit::shorten}});
  for (const auto& machine : machines) {
    const auto age = since(machine, "last_point_time", now);
    table.add({text_of(machine, "machine"), text_of(machine, "policy"), std::to_string(number_of(machine, "points")),
               time_of(machine, "last_point_time"), age ? format_age(*age) : "",
               text_of(member(machine, "proof"), "newest"), due(machine, now), last_job(machine)});
  }
  text += "\n" + table.text();
  return text + "\n" + render_tracking(machines);
}

CommandSpec status_command() {
  CommandSpec spec;
  spec.words = "status";
  spec.summary = "Daemon, store, mount and machines at a glance; warnings first";
  spec.examples = {"cairn status", "cairn status --json | jq -r '.warnings[]'"};
  spec.notes = "Also how the changes of each disk are tracked, and when the store was verified last.";
  set_action<StatusCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
