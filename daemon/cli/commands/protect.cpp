// SPDX-License-Identifier: GPL-3.0-or-later
// cairn protect: exempts a recovery point from retention and deletion. Document: what the control API answers.
#include <nlohmann/json.hpp>

#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/commands.h"
#include "daemon/cli/work/context.h"
#include "daemon/service/service.h"

namespace cairn::cli {

Result<ExitCode> run(Context& context, const ProtectCommand& command) {
  CAIRN_TRY(Service* const service, context.service());
  CAIRN_TRY(const nlohmann::json document, service->protect_point({command.point, command.off, command.until}));
  const std::string name = printable(text_of(document, "name"));
  const std::string until = time_of(member(document, "protected"), "until");
  std::string text = name + " is protected" + (until.empty() ? std::string() : " until " + until) + "\n";
  if (command.off) text = name + " is not protected any more\n";
  CAIRN_CHECK(context.output().answer(document, text));
  return ExitCode::done;
}

}  // namespace cairn::cli
