// SPDX-License-Identifier: GPL-3.0-or-later
// cairn backup: makes recovery points now, and waits for them. Documents: daemon/API.md "Job".
#include <nlohmann/json.hpp>

#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/work/busy_wait.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/finish_jobs.h"
#include "daemon/service/service.h"

namespace cairn::cli {
namespace {

struct BackupCommand {
  std::vector<std::string> machines;
  bool all = false;
  bool full_read = false;
  BusyWait::Time wait = BusyWait::usual();
};

Result<void> check(BackupCommand& command, const GlobalOptions&) {
  if (command.all && !command.machines.empty())
    return misuse("start backup", "both --all and the machine " + command.machines.front() + " are given",
                  "give machines or --all");
  if (!command.all && command.machines.empty())
    return misuse("start backup", "no machine is named", "give machines, or --all for every machine of the settings");
  return {};
}

Result<ExitCode> run(Context& context, const BackupCommand& command) {
  CAIRN_TRY(Service* const service, context.service());
  BackupRequest request;
  request.machines = command.machines;
  request.all = command.all;
  request.full_read = command.full_read;
  request.wait_s = static_cast<std::uint64_t>(command.wait.count());
  CAIRN_TRY(const nlohmann::json started, while_busy(command.wait, [&] { return service->start_backup(request); }));
  return finish_jobs(context, started);
}

}  // namespace

CommandSpec backup_command() {
  CommandSpec spec;
  spec.words = "backup";
  spec.summary = "Make a recovery point now; waits and shows progress";
  spec.examples = {"cairn backup web-01", "cairn backup web-01 db-01", "cairn backup --all --json"};
  spec.notes =
      "Ctrl-C cancels at the next safe point. What was stored already is found again by the next run.\n"
      "On file systems with reflinks only what changed since the last backup is read; \"cairn jobs JOB-ID\" says for\n"
      "each disk how it was read, and why.";
  spec.options = {
      value("machines", "MACHINE", "Names of machines", &BackupCommand::machines, Completes::machines),
      flag("--all", "Every machine of the settings", &BackupCommand::all),
      flag("--full-read", "Read all of every disk, and check change tracking against it", &BackupCommand::full_read),
      wait_option(&BackupCommand::wait),
  };
  set_action<BackupCommand>(spec, run, check);
  return spec;
}

}  // namespace cairn::cli
