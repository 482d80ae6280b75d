// SPDX-License-Identifier: GPL-3.0-or-later
// Secret commands: programs that are given secrets, or give them: those of key vaults, and the one that prints a
// passphrase. Secrets pass through pipes only, never through argv or the environment. Any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "crypto/secret_bytes.h"

namespace cairn {

struct SecretCommand {
  std::vector<std::string> argv;        // no shell; the program is found through PATH. Its environment is ours
  std::string doing;                    // for messages, as in Error: "run passphrase command"
  std::string object;                   // for messages: which command
  ErrorCode failed{};                   // the code of whatever is the command's fault
  const SecretBytes* input = nullptr;   // its standard input; none: /dev/null. Must outlive the run
  std::size_t most_output = 8 * 1024;   // bytes of standard output, a newline at the end not counted
  std::chrono::milliseconds at_most{};  // how long it may take
  int stop_fd = -1;  // the command is killed when this becomes readable (nothing is read from it); -1: there is none
};

struct CommandOutput {
  SecretBytes bytes;       // its standard output
  std::string complaints;  // the start of its standard error
};

// Runs it until it ends with status 0. It is the leader of a process group; what is left of the group when this
// returns, in whatever way, has been killed (a program that wants to leave something running, as agents do, gives it a
// session of its own). A command that does not read its input, or not all of it, is no failure.
// Errors: command.failed: it cannot be run, ended with another status or by a signal (the message has the
// start of its standard error), wrote too much, or took too long; cancelled: `stop_fd` became readable; io_error: no
// pipes.
Result<CommandOutput> run_secret_command(const SecretCommand& command);

// The error of a command that ran and did not do what it is for, as run_secret_command words it.
std::unexpected<Error> command_failed(const SecretCommand& command, std::string because, const std::string& complaints);

}  // namespace cairn
