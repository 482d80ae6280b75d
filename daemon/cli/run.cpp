// SPDX-License-Identifier: GPL-3.0-or-later
// The command line from its words to its exit code.
#include "daemon/cli/run.h"

#include <cstdlib>
#include <exception>
#include <new>

#include "config/base/exception_door.h"
#include "config/base/left_behind.h"
#include "config/base/log.h"
#include "crypto/secret_bytes.h"
#include "daemon/cli/commands/registry.h"
#include "daemon/cli/grammar/parser.h"
#include "daemon/cli/work/context.h"

namespace cairn::cli {
ExitCode run_command_line(const std::vector<std::string>& words) {
  // What matters to the user is in the answer. Only a mount, which goes on when it has answered, logs.
  static std::string discarded;
  redirect_log(&discarded);
  Output early(asks_for_json(words) ? Format::json : Format::text);
  try {
    const auto parsed = parse_words(all_commands(), words, std::getenv("CAIRN_CONFIG"));
    if (!parsed) return early.fail_with(parsed.error());
    Context context(parsed->globals);
    // Only a mount that goes into the background forks; it starts the crypto library in its child's memory just the
    // same.
    start_crypto();
    const auto done = parsed->command->run(context, parsed->values);
    const ExitCode code = done ? *done : context.output().fail_with(done.error());
    // A job that was cancelled and hangs: the context may not be taken apart under it.
    if (anything_left_behind()) end_process(static_cast<int>(code));
    return code;
  } catch (const std::bad_alloc& problem) {
    return early.fail_with(error_of_bad_alloc(problem, "go on", {}));
  } catch (const std::exception& error) {
    return early.fail_with(Error{ErrorCode::internal, "go on", {}, error.what(), 0, {}});
  }
}

}  // namespace cairn::cli
