// SPDX-License-Identifier: GPL-3.0-or-later
// cairn __man PAGE: the man page, for the build. Document: {"page":TEXT}.
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "daemon/cli/commands/registry.h"
#include "daemon/cli/grammar/manual.h"
#include "daemon/cli/work/context.h"

namespace cairn::cli {
namespace {

struct ManCommand {
  std::vector<std::string> pages;  // the page with what is written by hand, once
};

Result<ExitCode> run(Context& context, const ManCommand& command) {
  if (command.pages.size() != 1) return misuse("make man page", "not one page is given", "give cairn.1.in");
  std::ifstream file(command.pages.front(), std::ios::binary);
  if (!file) return fail_errno(errno, "read man page", command.pages.front());
  std::ostringstream page;
  page << file.rdbuf();
  CAIRN_TRY(const std::string made, manual_of(all_commands(), page.str()));
  CAIRN_CHECK(context.output().answer({{"page", made}}, made));
  return ExitCode::done;
}

}  // namespace

CommandSpec man_command() {
  CommandSpec spec;
  spec.words = "__man";
  spec.summary = "Make the man page";
  spec.examples = {"cairn __man daemon/cli/cairn.1.in"};
  spec.options = {value("page", "FILE", "The page with what is written by hand", &ManCommand::pages)};
  spec.hidden = true;
  set_action<ManCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
