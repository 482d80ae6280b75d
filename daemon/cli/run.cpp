// SPDX-License-Identifier: GPL-3.0-or-later
// The command line from its words to its exit code.
#include <cstdlib>
#include <exception>
#include <new>

#include "config/base/log.h"
#include "crypto/secret_bytes.h"
#include "daemon/cli/work/commands.h"
#include "daemon/cli/work/context.h"

namespace cairn::cli {
namespace {

// Only a mount that goes into the background forks; it starts the crypto library in its child's memory just the same.
Result<ExitCode> run_parsed(Context& context, const Command& command) {
  start_crypto();
  return std::visit([&](const auto& what) { return run(context, what); }, command);
}

}  // namespace

ExitCode run_command_line(const std::vector<std::string>& words) {
  // What matters to the user is in the answer. Only a mount, which goes on when it has answered, logs.
  static std::string discarded;
  redirect_log(&discarded);
  Output early(asks_for_json(words) ? Format::json : Format::text);
  try {
    const auto arguments = parse_arguments(words, std::getenv("CAIRN_CONFIG"));
    if (!arguments) return early.fail_with(arguments.error());
    Context context(arguments->globals);
    const auto done = run_parsed(context, arguments->command);
    if (!done) return context.output().fail_with(done.error());
    return *done;
  } catch (const std::bad_alloc&) {
    return early.fail_with(Error{ErrorCode::out_of_memory, "go on", {}, {}, 0, {}});
  } catch (const std::exception& error) {
    return early.fail_with(Error{ErrorCode::internal, "go on", {}, error.what(), 0, {}});
  }
}

}  // namespace cairn::cli
