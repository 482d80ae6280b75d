// SPDX-License-Identifier: GPL-3.0-or-later
// cairn delete and undelete. Documents: {"points":[what the control API answers for each]}, and "error" when one could
// not be: those after it were not tried.
#include <functional>
#include <nlohmann/json.hpp>

#include <fmt/format.h>

#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/prompt.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/service/service.h"

namespace cairn::cli {
namespace {

struct DeleteCommand {
  std::vector<std::string> points;
  bool yes = false;
};

struct UndeleteCommand {
  std::vector<std::string> points;
};

Result<ExitCode> for_each(Context& context, const std::vector<std::string>& points,
                          const std::function<Result<nlohmann::json>(const std::string&)>& call) {
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
  CAIRN_CHECK(context.output().answer(document, render_deletions(document)));
  if (!failed) return ExitCode::done;
  if (context.output().format() == Format::text) context.output().error_text(*failed);
  return to_exit_code(*failed);
}

Result<ExitCode> run(Context& context, const DeleteCommand& command) {
  std::string names;
  for (const std::string& point : command.points) names += (names.empty() ? "" : ", ") + printable(point);
  CAIRN_CHECK(confirm("Delete " + names + "?", command.yes, "delete", names));
  CAIRN_TRY(Service* const service, context.service());
  return for_each(context, command.points, [&](const std::string& point) { return service->delete_point(point); });
}

Result<ExitCode> run(Context& context, const UndeleteCommand& command) {
  CAIRN_TRY(Service* const service, context.service());
  return for_each(context, command.points, [&](const std::string& point) { return service->undelete_point(point); });
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
  return text;
}

CommandSpec delete_command() {
  CommandSpec spec;
  spec.words = "delete";
  spec.summary = "Delete recovery points; they can be brought back for a while";
  spec.examples = {"cairn delete web-01@20261121T020000Z", "cairn delete web-01@20261121T02 web-01@20261120T02 --yes"};
  spec.notes =
      "A deleted point is hidden. \"cairn undelete\" brings it back until the policy's soft_delete has passed;\n"
      "then a prune removes it for good. With soft_delete: off it is removed at once.\n"
      "Points that are immutable or protected are not deleted. Without a terminal to ask on, --yes is needed.";
  spec.options = {
      value("points", "MACHINE@POINT", "Recovery points", &DeleteCommand::points, Completes::points).required(),
      flag("--yes", "Do not ask", &DeleteCommand::yes),
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
          .required()};
  set_action<UndeleteCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
