// Reading the store's key: from a file, or from a command run with posix_spawn(3), its output and time bounded.
// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/unlock.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <utility>

#include "config/base/unique_fd.h"

extern char** environ;

namespace cairn {
namespace {

constexpr std::size_t kMaxPassphrase = std::size_t{8} * 1024;
constexpr std::chrono::seconds kCommandMayTake{30};
constexpr std::size_t kMaxComplaint = 512;  // of the command's standard error, in our message

using SteadyClock = std::chrono::steady_clock;

void strip_one_newline(SecretBytes& secret) {
  if (!secret.empty() && std::as_const(secret).reveal().back() == '\n') secret.shrink_to(secret.size() - 1);
}

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> make_pipe(const std::string& command) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "run passphrase command", command);
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Owns a child process: killed and reaped at the end unless it was waited for.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    kill(-pid_, SIGKILL);
    kill(pid_, SIGKILL);
    (void)reap();
  }
  // Blocks until it has ended; its wait status.
  int reap() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }
  // True when it has ended (it is reaped then).
  bool try_reap(int& status) {
    const pid_t ended = waitpid(pid_, &status, WNOHANG);
    if (ended != pid_) return false;
    pid_ = -1;
    return true;
  }

 private:
  pid_t pid_;
};

Result<pid_t> spawn(const std::vector<std::string>& argv, int output, int complaints) {
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));  // NOLINT: posix_spawn's type
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, complaints, STDERR_FILENO);
  // A group of its own, so that what it starts can be killed with it; and no blocked signals of ours.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  pid_t pid = 0;
  const int problem = posix_spawnp(&pid, words[0], &actions, &attributes, words.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (problem != 0) return fail_errno(problem, "run passphrase command", argv[0], ErrorCode::passphrase_command_failed);
  return pid;
}

// What the command wrote, until it closed both pipes.
struct Output {
  SecretBytes secret{kMaxPassphrase + 2};  // one for the newline, one to see that it is too long
  std::size_t size = 0;
  std::string complaints;
};

std::unexpected<Error> told_to_stop(const std::string& command) {
  return fail(ErrorCode::cancelled, "run passphrase command", command, "this process was told to stop");
}

// False when `deadline` has passed first. Errors: cancelled.
Result<bool> collect(Output& output, const Pipe& out, const Pipe& err, SteadyClock::time_point deadline, int stop_fd,
                     const std::string& command) {
  std::array<pollfd, 3> ends{pollfd{out.read.get(), POLLIN, 0}, pollfd{err.read.get(), POLLIN, 0},
                             pollfd{stop_fd, POLLIN, 0}};
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
    if (left <= 0) return false;
    const int ready = poll(ends.data(), ends.size(), static_cast<int>(left));
    if (ready < 0 && errno != EINTR) return fail_errno(errno, "run passphrase command", "poll");
    if (ready <= 0) continue;
    if (ends[2].revents != 0) return told_to_stop(command);
    if (ends[0].revents != 0) {
      const MutableBytes room = output.secret.reveal().subspan(output.size);
      const ssize_t got = room.empty() ? 0 : read(out.read.get(), room.data(), room.size());
      if (got <= 0)
        ends[0].fd = -1;
      else
        output.size += static_cast<std::size_t>(got);
    }
    if (ends[1].revents != 0) {
      std::array<char, 256> piece{};
      const ssize_t got = read(err.read.get(), piece.data(), piece.size());
      if (got <= 0)
        ends[1].fd = -1;
      else if (output.complaints.size() < kMaxComplaint)
        output.complaints.append(piece.data(), static_cast<std::size_t>(got));
    }
    if (output.size == output.secret.size()) return true;
  }
  return true;
}

std::string one_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  if (text.size() > kMaxComplaint) text.resize(kMaxComplaint);
  std::replace_if(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return text;
}

}  // namespace

Result<SecretBytes> run_passphrase_command(const std::vector<std::string>& argv, std::chrono::milliseconds at_most,
                                           int stop_fd) {
  constexpr const char* kDoing = "run passphrase command";
  if (argv.empty() || argv[0].empty())
    return fail(ErrorCode::passphrase_command_failed, kDoing, "", "no command is named");
  const auto deadline = SteadyClock::now() + at_most;
  CAIRN_TRY(Pipe out, make_pipe(argv[0]));
  CAIRN_TRY(Pipe err, make_pipe(argv[0]));
  CAIRN_TRY(const pid_t pid, spawn(argv, out.write.get(), err.write.get()));
  Child child(pid);
  out.write.reset();
  err.write.reset();

  const auto failed = [&](std::string because, const std::string& complaints) {
    const std::string said = one_line(complaints);
    if (!said.empty()) because += fmt::format("; it wrote: {}", said);
    return fail(ErrorCode::passphrase_command_failed, kDoing, argv[0], std::move(because));
  };
  const std::string too_slow = fmt::format("it took longer than {} s", std::chrono::duration<double>(at_most).count());

  Output output;
  CAIRN_TRY(const bool in_time, collect(output, out, err, deadline, stop_fd, argv[0]));
  if (!in_time) return failed(too_slow, output.complaints);
  if (output.size == output.secret.size())
    return failed(fmt::format("it wrote more than {} bytes", kMaxPassphrase), {});
  // It closed its output; it should end now. Closed pipes cannot be polled for that, so look every now and then.
  int status = 0;
  while (!child.try_reap(status)) {
    if (SteadyClock::now() >= deadline) return failed(too_slow, output.complaints);
    pollfd stop{stop_fd, POLLIN, 0};
    if (poll(&stop, 1, 5) > 0) return told_to_stop(argv[0]);
  }
  if (WIFSIGNALED(status)) return failed(fmt::format("it was ended by signal {}", WTERMSIG(status)), output.complaints);
  if (WEXITSTATUS(status) != 0)
    return failed(fmt::format("it ended with exit status {}", WEXITSTATUS(status)), output.complaints);
  output.secret.shrink_to(output.size);
  strip_one_newline(output.secret);
  if (output.secret.empty()) return failed("it wrote no passphrase", output.complaints);
  if (output.secret.size() > kMaxPassphrase)
    return failed(fmt::format("it wrote more than {} bytes", kMaxPassphrase), {});
  return std::move(output.secret);
}

Result<UnlockKey> read_unlock_key(const KeySettings& settings, int stop_fd) {
  if (settings.key_file) {
    CAIRN_TRY(SecretBytes secret, read_key_file(*settings.key_file));
    return UnlockKey{KeySlotType::key_file, std::move(secret), settings.key_file->string()};
  }
  if (settings.passphrase_file) {
    CAIRN_TRY(SecretBytes secret, read_key_file(*settings.passphrase_file));
    strip_one_newline(secret);
    if (secret.empty())
      return fail(ErrorCode::key_file_invalid, "read passphrase", settings.passphrase_file->string(), "it is empty");
    return UnlockKey{KeySlotType::passphrase, std::move(secret), settings.passphrase_file->string()};
  }
  if (!settings.passphrase_command.empty()) {
    CAIRN_TRY(SecretBytes secret, run_passphrase_command(settings.passphrase_command, kCommandMayTake, stop_fd));
    return UnlockKey{KeySlotType::passphrase, std::move(secret), settings.passphrase_command.front()};
  }
  return fail(ErrorCode::settings_invalid, "read unlock key", "store",
              "the settings name no key_file, passphrase_file or passphrase_command");
}

}  // namespace cairn
