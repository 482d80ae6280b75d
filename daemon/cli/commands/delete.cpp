// SPDX-License-Identifier: GPL-3.0-or-later
// cairn delete and undelete. Documents: {"points":[what the control API answers for each]}, and "error" when one could
// not be: those after it were not tried; with --for-good "jobs":[Job] too, the prune that gives the space back.
#include <unistd.h>

#include <functional>
#include <nlohmann/json.hpp>

#include <fmt/format.h>

#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/prompt.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/busy_wait.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/follow_jobs.h"
#include "daemon/service/service.h"

namespace cairn::cli {
namespace {

struct DeleteCommand {
  std::vector<std::string> points;
  bool yes = false;
  BusyWait::Time wait = BusyWait::usual();
  bool for_good = false;
};

struct UndeleteCommand {
  std::vector<std::string> points;
  BusyWait::Time wait = BusyWait::usual();
};

Result<ExitCode> for_each(Context& context, const std::vector<std::string>& points,
                          const std::function<Result<nlohmann::json>(const std::string&)>& call,
                          const std::function<Result<nlohmann::json>(const std::string& machine)>& after = {}) {
  nlohmann::json document{{"points", nlohmann::json::array()}};
  std::optional<Error> failed;
  for (const std::string& point : points) {
    auto done = call(point);
    if (!done) {
      failed = std::move(done).error();
      document["error"] = error_document(*failed);
      break;
    }
    document["points"].push_back(*std::move(done));
  }
  if (after && !document["points"].empty()) {
    auto jobs = after(text_of(document["points"].back(), "machine"));
    if (jobs)
      document["jobs"] = *std::move(jobs);
    else if (!failed)
      document["error"] = error_document(failed.emplace(std::move(jobs).error()));
  }
  CAIRN_CHECK(context.output().answer(document, render_deletions(document)));
  if (!failed) return ExitCode::done;
  if (context.output().format() == Format::text) context.output().error_text(*failed);
  return to_exit_code(*failed);
}

Result<ExitCode> run(Context& context, const DeleteCommand& command) {
  std::string names;
  for (const std::string& point : command.points) names += (names.empty() ? "" : ", ") + printable(point);
  CAIRN_CHECK(confirm("Delete " + names + (command.for_good ? " for good, so that nobody can bring it back?" : "?"),
                      command.yes, "delete", names));
  CAIRN_TRY(Service* const service, context.service());
  // The space comes back with a collection, which a prune ends with.
  const auto collect = [&](const std::string& machine) -> Result<nlohmann::json> {
    PruneRequest request;
    request.machine = machine;
    request.wait_s = static_cast<std::uint64_t>(command.wait.count());
    const auto start = [&] { return while_busy(command.wait, [&] { return service->start_prune(request); }); };
    auto started = start();
    if (!started && started.error().code == ErrorCode::no_such_machine) {  // that was its last point
      request.machine.reset();
      started = start();
    }
    if (!started) return pass_on(std::move(started).error());
    const bool progress = context.output().format() == Format::text && is_terminal(STDERR_FILENO);
    return follow_jobs(*service, nlohmann::json::array({*started}), progress);
  };
  const auto call = [&](const std::string& point) {
    return while_busy(command.wait, [&] { return service->delete_point({point, command.for_good}); });
  };
  if (command.for_good) return for_each(context, command.points, call, collect);
  return for_each(context, command.points, call);
}

Result<ExitCode> run(Context& context, const UndeleteCommand& command) {
  CAIRN_TRY(Service* const service, context.service());
  return for_each(context, command.points, [&](const std::string& point) {
    return while_busy(command.wait, [&] { return service->undelete_point(point); });
  });
}

}  // namespace

std::string render_deletions(const nlohmann::json& document) {
  std::string text;
  for (const auto& row : member(document, "points")) {
    const std::string name = printable(text_of(row, "name"));
    if (!member(row, "deleted").is_string())
      text += "brought back " + name + "\n";
    else if (flag_of(row, "purged"))
      text += "removed " + name + " for good\n";
    else
      text += fmt::format("deleted {0}; \"cairn undelete {0}\" brings it back until {1}\n", name,
                          time_of(row, "purge_after"));
  }
  for (const auto& job : member(document, "jobs")) {
    const nlohmann::json& collection = member(member(job, "result"), "collection");
    if (collection.is_object() && member(collection, "freed_bytes").is_number())
      text += "freed " + size_of(collection, "freed_bytes") + "\n";
    if (const nlohmann::json& error = member(job, "error"); error.is_object())
      text += "warning: its space is not given back yet: " + printable(text_of(error, "message")) + "\n";
    for (const auto& warning : member(job, "warnings"))
      if (warning.is_string()) text += "warning: " + printable(warning.get<std::string>()) + "\n";
  }
  return text;
}

CommandSpec delete_command() {
  CommandSpec spec;
  spec.words = "delete";
  spec.summary = "Delete recovery points; they can be brought back for a while";
  spec.examples = {"cairn delete web-01@20261121T020000Z", "cairn delete web-01@20261121T02 web-01@20261120T02 --yes",
                   "cairn delete web-01@20261121T02 --for-good"};
  spec.notes =
      "A deleted point is hidden. \"cairn undelete\" brings it back until the policy's soft_delete has passed;\n"
      "then a prune removes it for good. With soft_delete: off, or --for-good, it is removed at once; --for-good "
      "takes\n"
      "points that are deleted already, too, and gives their space back with a prune of the machine.\n"
      "Points that are immutable or protected are not deleted. Without a terminal to ask on, --yes is needed.";
  spec.options = {
      value("points", "MACHINE@POINT", "Recovery points", &DeleteCommand::points, Completes::points).required(),
      flag("--for-good", "Remove it at once, and give its space back: nobody can bring it back",
           &DeleteCommand::for_good),
      flag("--yes", "Do not ask", &DeleteCommand::yes),
      wait_option(&DeleteCommand::wait),
  };
  set_action<DeleteCommand>(spec, run);
  return spec;
}

CommandSpec undelete_command() {
  CommandSpec spec;
  spec.words = "undelete";
  spec.summary = "Bring deleted recovery points back";
  spec.examples = {"cairn points --deleted", "cairn undelete web-01@20261121T020000Z"};
  spec.options = {
      value("points", "MACHINE@POINT", "Deleted recovery points", &UndeleteCommand::points, Completes::deleted_points)
          .required(),
      wait_option(&UndeleteCommand::wait)};
  set_action<UndeleteCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
