// SPDX-License-Identifier: GPL-3.0-or-later
// cairn store accept-rollback, and what status says of a store that is older than it was. Document:
// {"accepted":[MACHINE]}.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/prompt.h"
#include "daemon/cli/work/context.h"
#include "daemon/service/store_memory.h"
#include "fs/store/store.h"

namespace cairn::cli {
namespace {

struct AcceptRollbackCommand {
  std::string machine;  // empty: all
  bool yes = false;
};

Result<ExitCode> run(Context& context, const AcceptRollbackCommand& command) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  const std::string what = command.machine.empty() ? "all machines" : printable(command.machine);
  constexpr const char* kDoing = "accept the older state of";
  CAIRN_CHECK(confirm("Forget what this host saw of " + what + " in the store before, and take it as it is now?",
                      command.yes, kDoing, what));
  CAIRN_TRY(const std::unique_ptr<Store> store, context.open_store());
  StoreMemory memory(settings->state_dir, *store, system_clock());
  CAIRN_TRY(const auto accepted,
            memory.accept(command.machine.empty() ? std::nullopt : std::optional(command.machine)));
  std::string text;
  for (const std::string& machine : accepted) text += "accepted the store as it is now of " + printable(machine) + "\n";
  if (accepted.empty()) text = "the store is not older than this host saw it: nothing was forgotten\n";
  CAIRN_CHECK(context.output().answer({{"accepted", accepted}}, text));
  return ExitCode::done;
}

}  // namespace

void add_rollback_warnings(const nlohmann::json& rollback, std::vector<std::string>& warnings) {
  if (const nlohmann::json& error = member(rollback, "error"); error.is_object())
    warnings.push_back(text_of(error, "message") + " [" + text_of(error, "name") + "]");
  if (const std::string because = text_of(rollback, "because"); !because.empty())
    warnings.push_back("whether the store is older than it was is not known: " + because);
}

CommandSpec store_accept_rollback_command() {
  CommandSpec spec;
  spec.words = "store accept-rollback";
  spec.summary = "Take a store that is older than it was as it is now";
  spec.examples = {"cairn store accept-rollback", "cairn store accept-rollback web-01 --yes"};
  spec.notes =
      "This host remembers in state_dir what it saw last of each machine's points, and says [store-rolled-back] when\n"
      "the store shows an earlier state. After an older state was put there on purpose, such as a store that was\n"
      "restored from a backup of it, this forgets what was seen. Until then nothing of these machines expires.\n"
      "Without a terminal to ask on, --yes is needed.";
  spec.options = {
      value("machine", "MACHINE", "Only this one (default: all)", &AcceptRollbackCommand::machine, Completes::machines),
      flag("--yes", "Do not ask", &AcceptRollbackCommand::yes),
  };
  set_action<AcceptRollbackCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
