// SPDX-License-Identifier: GPL-3.0-or-later
// cairnd: the daemon's command line. One of the four doors where exceptions of libraries are caught.
#include <fmt/core.h>
#include <getopt.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>

#include "config/base/log.h"
#include "config/base/standard_streams.h"
#include "config/settings.h"
#include "crypto/secret_bytes.h"
#include "crypto/volume/helpers.h"
#include "daemon/daemon.h"
#include "fs/guest/helper.h"

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

constexpr const char* kHelp =
    "Backs up the encrypted disks of virtual machines on schedule and mounts the recovery points.\n"
    "Usage: cairnd [OPTIONS]\n"
    "\n"
    "Options:\n"
    "  -h,--help         Show this help\n"
    "  --config FILE     The settings file (default: $CAIRN_CONFIG or {})\n"
    "  --check           Read the settings and unlock the store, then end\n"
    "  --verbose         Log more\n"
    "  --version         Show the version\n"
    "\n"
    "Signals: HUP reads the settings again, TERM and INT stop.\n"
    "Example: cairnd --config /etc/cairn/cairn.yaml\n";

int run(int argc, char** argv) {
  enum : int { config_file = 1, check_only, log_more, show_version };
  static constexpr option kOptions[] = {{"help", no_argument, nullptr, 'h'},
                                        {"config", required_argument, nullptr, config_file},
                                        {"check", no_argument, nullptr, check_only},
                                        {"verbose", no_argument, nullptr, log_more},
                                        {"version", no_argument, nullptr, show_version},
                                        {}};
  const char* const environment = std::getenv("CAIRN_CONFIG");  // as `cairn` reads it
  std::string settings_file = environment != nullptr && *environment != '\0' ? environment : kDefaultSettingsPath;
  bool check = false;
  bool verbose = false;
  for (int found; (found = ::getopt_long(argc, argv, "h", kOptions, nullptr)) != -1;) {
    if (found == 'h') {
      fmt::print(fmt::runtime(kHelp), kDefaultSettingsPath);
      return static_cast<int>(ExitCode::done);
    }
    if (found == show_version) {
      fmt::print("cairnd {}\n", CAIRN_VERSION);
      return static_cast<int>(ExitCode::done);
    }
    if (found == config_file)
      settings_file = ::optarg;
    else if (found == check_only)
      check = true;
    else if (found == log_more)
      verbose = true;
    else
      return static_cast<int>(ExitCode::used_wrongly);  // getopt_long has said why
  }
  if (::optind < argc) {
    std::fprintf(stderr, "cairnd: one word too many: \"%s\"; see \"cairnd --help\"\n", argv[::optind]);
    return static_cast<int>(ExitCode::used_wrongly);
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
  if (cairn::is_guest_helper(argc, argv)) return cairn::run_guest_helper();
  cairn::serve_as_helper(argc, argv);
  cairn::settle_standard_streams();
  cairn::let_large_files_fail();
  cairn::raise_open_files();
  try {
    return cairn::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cairnd: %s\n", error.what());
    return static_cast<int>(cairn::ExitCode::failed);
  }
}
