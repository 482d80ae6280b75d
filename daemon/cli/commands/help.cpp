// SPDX-License-Identifier: GPL-3.0-or-later
// cairn help, version. Documents: {"help":TEXT}, {"version":TEXT}.
#include <nlohmann/json.hpp>

#include "daemon/cli/commands/registry.h"
#include "daemon/cli/grammar/parser.h"
#include "daemon/cli/work/context.h"

namespace cairn::cli {
namespace {

struct HelpCommand {
  std::vector<std::string> topics;  // the words of a command; empty: all of cairn
};

struct VersionCommand {};

// A topic that there is not is misuse, like any wrong word.
Result<void> check(HelpCommand& command, const GlobalOptions&) {
  CAIRN_CHECK(help_on(all_commands(), command.topics));
  return {};
}

Result<ExitCode> run(Context& context, const HelpCommand& command) {
  CAIRN_TRY(const std::string text, help_on(all_commands(), command.topics));
  CAIRN_CHECK(context.output().answer({{"help", text}}, text));
  return ExitCode::done;
}

Result<ExitCode> run(Context& context, const VersionCommand&) {
  CAIRN_CHECK(context.output().answer({{"version", CAIRN_VERSION}}, "cairn " CAIRN_VERSION "\n"));
  return ExitCode::done;
}

}  // namespace

CommandSpec version_command() {
  CommandSpec spec;
  spec.words = "version";
  spec.summary = "Show the version";
  spec.examples = {"cairn version --json"};
  set_action<VersionCommand>(spec, run);
  return spec;
}

CommandSpec help_command() {
  CommandSpec spec;
  spec.words = "help";
  spec.summary = "Show help and examples";
  spec.examples = {"cairn help restore", "cairn help store init"};
  spec.options = {value("command", "COMMAND", "A command", &HelpCommand::topics, Completes::commands).at_most(3)};
  set_action<HelpCommand>(spec, run, check);
  return spec;
}

}  // namespace cairn::cli
