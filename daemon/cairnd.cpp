// SPDX-License-Identifier: GPL-3.0-or-later
// cairnd: the daemon's command line. One of the four doors where exceptions of libraries are caught.
#include <fmt/core.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>

#include "config/base/log.h"
#include "config/settings.h"
#include "crypto/secret_bytes.h"
#include "daemon/daemon.h"

namespace cairn {
namespace {

// Whether standard error goes to the journal: $JOURNAL_STREAM names its device and inode (systemd.exec(5)).
bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat facts{};
  if (stream == nullptr || fstat(fileno(stderr), &facts) != 0) return false;
  return fmt::format("{}:{}", facts.st_dev, facts.st_ino) == stream;
}

// In the journal an event like all others; to a person the same words as `cairn` has, a problem of the settings a line
// each.
int report(const Result<void>& result, const std::string& settings_file) {
  if (result) return static_cast<int>(ExitCode::done);
  if (stderr_is_journal())
    log_error("daemon-failed", settings_file, result.error());
  else
    std::fprintf(stderr, "cairnd: %s [%s]\n", result.error().message().c_str(),
                 std::string(result.error().name()).c_str());
  return static_cast<int>(to_exit_code(result.error()));
}

int run(int argc, char** argv) {
  CLI::App app{"Backs up the encrypted disks of virtual machines on schedule and mounts the recovery points."};
  app.footer(
      "Signals: HUP reads the settings again, TERM and INT stop.\nExample: cairnd --config /etc/cairn/cairn.yaml");
  std::string settings_file = kDefaultSettingsPath;
  bool check = false;
  bool verbose = false;
  app.add_option("--config", settings_file, "the settings file")->type_name("FILE")->capture_default_str();
  app.add_flag("--check", check, "read the settings and unlock the store, then end");
  app.add_flag("--verbose", verbose, "log more");
  app.set_version_flag("--version", "cairnd " CAIRN_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? static_cast<int>(ExitCode::done) : static_cast<int>(ExitCode::used_wrongly);
  }
  set_up_log(verbose ? LogLevel::debug : LogLevel::info, stderr_is_journal());
  // Nothing that this process makes is for others, unless it says so itself.
  umask(0077);
  harden_process();
  start_crypto();
  settings_file = std::filesystem::absolute(settings_file).string();
  return report(check ? check_daemon(settings_file) : run_daemon(settings_file), settings_file);
}

}  // namespace
}  // namespace cairn

int main(int argc, char** argv) {
  try {
    return cairn::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cairnd: %s\n", error.what());
    return static_cast<int>(cairn::ExitCode::failed);
  }
}
