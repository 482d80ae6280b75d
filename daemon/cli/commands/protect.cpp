// SPDX-License-Identifier: GPL-3.0-or-later
// cairn protect: exempts a recovery point from retention and deletion. Document: what the control API answers.
#include <nlohmann/json.hpp>

#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/grammar/option_values.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/busy_wait.h"
#include "daemon/cli/work/context.h"
#include "daemon/service/service.h"

namespace cairn::cli {
namespace {

struct ProtectCommand {
  std::string point;
  std::optional<UtcTime> until;
  bool off = false;
  BusyWait::Time wait = BusyWait::usual();
};

Result<void> check(ProtectCommand& command, const GlobalOptions&) {
  if (command.off && command.until)
    return misuse("protect recovery point", "both --off and --until are given", "give one of them");
  return {};
}

Result<ExitCode> run(Context& context, const ProtectCommand& command) {
  CAIRN_TRY(Service* const service, context.service());
  CAIRN_TRY(const nlohmann::json document, while_busy(command.wait, [&] {
              return service->protect_point({command.point, command.off, command.until});
            }));
  const std::string name = printable(text_of(document, "name"));
  const std::string until = time_of(member(document, "protected"), "until");
  std::string text = name + " is protected" + (until.empty() ? std::string() : " until " + until) + "\n";
  if (command.off) text = name + " is not protected any more\n";
  CAIRN_CHECK(context.output().answer(document, text));
  return ExitCode::done;
}

}  // namespace

CommandSpec protect_command() {
  CommandSpec spec;
  spec.words = "protect";
  spec.summary = "Keep a recovery point, whatever the policy says";
  spec.examples = {"cairn protect web-01@20261121T020000Z", "cairn protect web-01@latest --until 2027-12-31",
                   "cairn protect web-01@20261121T020000Z --off"};
  spec.notes = "A protected point is neither expired nor deleted, until the date or until --off.";
  spec.options = {
      value("point", "MACHINE@POINT", "The recovery point", &ProtectCommand::point, Completes::points).required(),
      parsed_value("--until", "DATE",
                   "To the beginning of this day, or this time (UTC): 2027-12-31 or 2027-12-31T12:00:00Z",
                   &ProtectCommand::until,
                   [](const std::string& text) { return parse_time(text, "--until", "protect recovery point"); }),
      flag("--off", "End the protection", &ProtectCommand::off),
      wait_option(&ProtectCommand::wait),
  };
  set_action<ProtectCommand>(spec, run, check);
  return spec;
}

}  // namespace cairn::cli
