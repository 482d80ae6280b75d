// SPDX-License-Identifier: GPL-3.0-or-later
// cairn mount, umount: recovery points as files, served by this process. In the background it is a daemon of its own:
// the process that was called waits on a pipe until the child has mounted, or says why it could not.
// Documents: {"mounted":DIR,"warnings":[TEXT]} and {"unmounted":DIR}
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "config/base/exception_door.h"
#include "config/base/json.h"
#include "config/base/log.h"
#include "config/base/unique_fd.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/queue/job_record.h"
#include "fs/mount/session.h"
#include "fs/store/store.h"

namespace cairn::cli {
namespace {

struct MountCommand {
  std::string directory;
  bool foreground = false;
  bool allow_other = false;
};

struct UmountCommand {
  std::string directory;
};

constexpr int kEndSignals[] = {SIGINT, SIGTERM, SIGHUP};

sigset_t end_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : kEndSignals) sigaddset(&set, number);
  return set;
}

Result<std::filesystem::path> mount_point_of(const std::string& directory) {
  std::error_code error;
  std::filesystem::path path = std::filesystem::absolute(directory, error).lexically_normal();
  if (error) return fail_errno(error.value(), "mount recovery points at", directory);
  if (!path.has_filename() && path.has_parent_path() && path != path.root_path()) path = path.parent_path();
  return path;
}

// Blocks until a signal or an unmount from outside ends it. The signals must be blocked in all threads by now.
Result<void> serve(MountSession& session) {
  std::thread waiter([&] {
    session.wait();
    ::kill(::getpid(), SIGTERM);  // blocked everywhere, so sigwait below takes it
  });
  const sigset_t set = end_signals();
  int number = 0;
  while (::sigwait(&set, &number) != 0) {
  }
  auto stopped = session.stop();
  waiter.join();
  return stopped;
}

Result<std::unique_ptr<MountSession>> start(Store& store, const std::filesystem::path& path, bool allow_other) {
  MountOptions options;
  options.path = path;
  options.allow_other = allow_other;
  return MountSession::start(store, options);
}

// What whoever mounts is told of the store.
nlohmann::json warnings_of(Store& store) {
  nlohmann::json warnings = nlohmann::json::array();
  const auto trouble = index_trouble(store);
  const Error* const error = !trouble ? &trouble.error() : *trouble ? &**trouble : nullptr;
  if (error != nullptr)
    warnings.push_back(error->message() + "; the files can be read without it, slower at first [" +
                       std::string(error->name()) + "]");
  return warnings;
}

Result<void> answer_mounted(Output& output, const std::filesystem::path& path, nlohmann::json warnings,
                            const std::string& how_it_ends) {
  std::string text = "mounted recovery points at " + path.string() + how_it_ends + "\n";
  for (const auto& warning : warnings)
    if (warning.is_string()) text += "warning: " + printable(warning.get<std::string>()) + "\n";
  return output.answer({{"mounted", path.string()}, {"warnings", std::move(warnings)}}, text);
}

// Standard streams to /dev/null, standard error to the journal where there is one: nobody reads the terminal any more.
void leave_terminal() {
  ::setsid();
  if (::chdir("/") != 0) return;
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return;
  const UniqueFd journal(::sd_journal_stream_fd("cairn-mount", 6, 1));
  ::dup2(null.get(), STDIN_FILENO);
  ::dup2(null.get(), STDOUT_FILENO);
  ::dup2(journal ? journal.get() : null.get(), STDERR_FILENO);
  redirect_log(nullptr);
  set_up_log(LogLevel::info, true);
}

// In the child. Tells `report` how the mount went: an error's document, or {"mounted":DIR,"warnings":[TEXT]}.
ExitCode mount_in_child(Context& context, const std::filesystem::path& path, bool allow_other, UniqueFd report) {
  const auto tell = [&report](const std::string& text) {
    std::size_t at = 0;
    while (at < text.size()) {
      const ssize_t written = ::write(report.get(), text.data() + at, text.size() - at);
      if (written < 0 && errno != EINTR) break;
      if (written > 0) at += static_cast<std::size_t>(written);
    }
    report.reset();
  };
  const auto give_up = [&](const Error& error) {
    tell(json_text(to_json(error)));
    return to_exit_code(error);
  };
  ::signal(SIGPIPE, SIG_IGN);  // a journal that restarts must not take the mount with it
  auto store = context.open_store();
  if (!store) return give_up(store.error());
  leave_terminal();
  const sigset_t set = end_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  auto session = start(**store, path, allow_other);
  if (!session) return give_up(session.error());
  tell(json_text(nlohmann::json{{"mounted", path.string()}, {"warnings", warnings_of(**store)}}));
  if (auto served = serve(**session); !served) {
    log_error("unmount-failed", path.string(), served.error());
    return ExitCode::failed;
  }
  return ExitCode::done;
}

Result<ExitCode> mount_in_background(Context& context, const std::filesystem::path& path, bool allow_other) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "mount recovery points at", path.string());
  UniqueFd from_child(ends[0]);
  UniqueFd to_parent(ends[1]);
  // No thread runs and no key is in memory yet: locked memory does not survive a fork.
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "mount recovery points at", path.string());
  if (child == 0) {
    from_child.reset();
    const auto code = without_exceptions("mount recovery points at", path.string(), [&]() -> Result<ExitCode> {
      return mount_in_child(context, path, allow_other, std::move(to_parent));
    });
    if (!code) log_error("mount-failed", path.string(), code.error());
    ::_exit(
        static_cast<int>(code.value_or(ExitCode::failed)));  // what the parent's buffers hold is the parent's to write
  }
  to_parent.reset();
  std::string said;
  char buffer[4096];
  for (;;) {
    const ssize_t got = ::read(from_child.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    said.append(buffer, static_cast<std::size_t>(got));
  }
  const nlohmann::json error = parse_json(said).value_or(nullptr);
  if (error.is_object() && error.contains("mounted")) {
    CAIRN_CHECK(answer_mounted(context.output(), path, member(error, "warnings"), ""));
    return ExitCode::done;
  }
  ::waitpid(child, nullptr, 0);
  if (!error.is_object())
    return fail(ErrorCode::mount_failed, "mount recovery points at", path.string(),
                "the process that mounts ended early", "try with --foreground to see more");
  return pass_on(error_from_json(error));
}

Result<ExitCode> run(Context& context, const MountCommand& command) {
  CAIRN_TRY(const std::filesystem::path path, mount_point_of(command.directory));
  CAIRN_TRY(const Settings* const settings, context.settings());
  const bool allow_other = command.allow_other || settings->mount.allow_other;
  if (!command.foreground) return mount_in_background(context, path, allow_other);
  CAIRN_TRY(const std::unique_ptr<Store> store, context.open_store());
  redirect_log(nullptr);
  set_up_log(LogLevel::info, false);
  const sigset_t set = end_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  CAIRN_TRY(const std::unique_ptr<MountSession> session, start(*store, path, allow_other));
  CAIRN_CHECK(answer_mounted(context.output(), path, warnings_of(*store),
                             "; Ctrl-C or \"cairn umount " + path.string() + "\" ends it"));
  if (auto served = serve(*session); !served) {
    if (context.output().format() == Format::json) return ExitCode::failed;  // the one document is out already
    return pass_on(std::move(served).error());
  }
  return ExitCode::done;
}

Result<ExitCode> run(Context& context, const UmountCommand& command) {
  CAIRN_TRY(const std::filesystem::path path, mount_point_of(command.directory));
  CAIRN_CHECK(unmount(path));
  CAIRN_CHECK(context.output().answer({{"unmounted", path.string()}}, "unmounted " + path.string() + "\n"));
  return ExitCode::done;
}

}  // namespace

CommandSpec mount_command() {
  CommandSpec spec;
  spec.words = "mount";
  spec.summary = "Show all recovery points as files below DIR";
  spec.examples = {"cairn mount /mnt", "cp --sparse=always /mnt/web-01/latest/disks/root.img /var/tmp/",
                   "cairn umount /mnt"};
  spec.options = {
      value("dir", "DIR", "An empty directory", &MountCommand::directory, Completes::files).required(),
      flag("--foreground", "Stay in the foreground until Ctrl-C or an unmount", &MountCommand::foreground),
      flag("--allow-other", "Let other users look inside (as mount.allow_other)", &MountCommand::allow_other),
  };
  set_action<MountCommand>(spec, run);
  return spec;
}

CommandSpec umount_command() {
  CommandSpec spec;
  spec.words = "umount";
  spec.summary = "Take down a mount of recovery points";
  spec.examples = {"cairn umount /mnt"};
  spec.options = {
      value("dir", "DIR", "Where they are mounted", &UmountCommand::directory, Completes::files).required()};
  set_action<UmountCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
