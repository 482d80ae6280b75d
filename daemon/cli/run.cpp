// SPDX-License-Identifier: GPL-3.0-or-later
// The command line from its words to its exit code.
#include "daemon/cli/run.h"

#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <new>

#include "config/base/log.h"
#include "crypto/secret_bytes.h"
#include "daemon/cli/commands/registry.h"
#include "daemon/cli/grammar/parser.h"
#include "daemon/cli/text/screen.h"
#include "daemon/cli/work/context.h"

namespace cairn::cli {
ExitCode run_command_line(const std::vector<std::string>& words) {
  // What matters to the user is in the answer. Only a mount, which goes on when it has answered, logs.
  static std::string discarded;
  redirect_log(&discarded);
  use_screen(screen_of(STDOUT_FILENO));
  Output early(asks_for_json(words) ? Format::json : Format::text);
  try {
    const auto parsed = parse_words(all_commands(), words, std::getenv("CAIRN_CONFIG"));
    if (!parsed) return early.fail_with(parsed.error());
    Context context(parsed->globals);
    // Only a mount that goes into the background forks; it starts the crypto library in its child's memory just the
    // same.
    start_crypto();
    const auto done = parsed->command->run(context, parsed->values);
    if (!done) return context.output().fail_with(done.error());
    return *done;
  } catch (const std::bad_alloc&) {
    return early.fail_with(Error{ErrorCode::out_of_memory, "go on", {}, {}, 0, {}});
  } catch (const std::exception& error) {
    return early.fail_with(Error{ErrorCode::internal, "go on", {}, error.what(), 0, {}});
  }
}

}  // namespace cairn::cli
