// SPDX-License-Identifier: GPL-3.0-or-later
// cairn: the command line. Design: one file a command (commands/registry.cpp lists them), one document a command.
#include <string>
#include <vector>

#include "config/base/standard_streams.h"
#include "crypto/secret_bytes.h"
#include "crypto/volume/helpers.h"
#include "daemon/cli/run.h"
#include "fs/guest/helper.h"

int main(int argc, char** argv) {
  if (cairn::is_guest_helper(argc, argv)) return cairn::run_guest_helper();
  cairn::serve_as_helper(argc, argv);
  cairn::settle_standard_streams();
  cairn::let_large_files_fail();
  cairn::raise_open_files();
  cairn::harden_process();
  return static_cast<int>(
      cairn::cli::run_command_line(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc)));
}
