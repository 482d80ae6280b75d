// SPDX-License-Identifier: GPL-3.0-or-later
// Commands run with posix_spawn(3), their input, output and time bounded.
#include "crypto/secret_command.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 does not say itself that it is C
}

#include "config/base/unique_fd.h"

extern char** environ;

namespace cairn {
namespace {

constexpr std::size_t kMaxComplaint = 512;         // of the command's standard error, in our message
constexpr std::size_t kFirstOutput = 16UL * 1024;  // of locked memory, which is scarce: more is taken when it is needed

using SteadyClock = std::chrono::steady_clock;

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> make_pipe(const SecretCommand& command) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, command.doing, command.object);
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Owns a child process and its group: at the end all of it is killed and the child reaped.
class Child {
 public:
  Child(pid_t pid, int ended) : ended_(ended), pid_(pid) {}
  Child(Child&& other) noexcept : ended_(std::move(other.ended_)), pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&&) = delete;
  ~Child() {
    if (pid_ > 0) (void)kill_and_reap();
  }
  // Readable when the child has ended.
  [[nodiscard]] int ended() const { return ended_.get(); }
  // Its wait status. The group is killed before the child is reaped: until then nobody else can have its number.
  int kill_and_reap() {
    kill(-pid_, SIGKILL);
    kill(pid_, SIGKILL);
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

 private:
  UniqueFd ended_;
  pid_t pid_;
};

Result<Child> spawn(const SecretCommand& command, int input, int output, int complaints) {
  std::vector<char*> words;
  for (const std::string& word : command.argv) words.push_back(const_cast<char*>(word.c_str()));  // posix_spawn's type
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (input >= 0)
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  else
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, complaints, STDERR_FILENO);
  // A group of its own, so that what it starts can be killed with it; and no signals that we block or ignore.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t signals;
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  for (const int signal : {SIGPIPE, SIGINT, SIGQUIT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  pid_t pid = 0;
  const int problem = posix_spawnp(&pid, words[0], &actions, &attributes, words.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (problem != 0) return fail_errno(problem, command.doing, command.object, command.failed);
  Child child(pid, pidfd_open(pid, 0));
  if (child.ended() < 0) return fail_errno(errno, command.doing, command.object);
  return child;
}

// Holds SIGPIPE back from this thread, and takes away the one that its own write raised: a child that does not read
// must not end us, and how the process at large treats the signal is not ours to say.
class NoPipeSignal {
 public:
  NoPipeSignal() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigemptyset(&pending);
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  NoPipeSignal(const NoPipeSignal&) = delete;
  NoPipeSignal& operator=(const NoPipeSignal&) = delete;
  ~NoPipeSignal() {
    const timespec at_once{};
    while (!was_pending_ && sigtimedwait(&pipe_, nullptr, &at_once) < 0 && errno == EINTR) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

std::unexpected<Error> told_to_stop(const SecretCommand& command) {
  return fail(ErrorCode::cancelled, command.doing, command.object, "this process was asked to stop");
}

// Our ends of the child's three pipes; an end that is done with is closed.
class Talk {
 public:
  Talk(const SecretCommand& command, UniqueFd input, UniqueFd output, UniqueFd complaints)
      : command_(command),
        input_(std::move(input)),
        output_(std::move(output)),
        complaints_(std::move(complaints)),
        got_(std::min(kFirstOutput, room_for_all())) {}

  // Until the child has closed its output and taken its input, or written too much. False when `deadline` has passed
  // first. Errors: cancelled, io_error.
  Result<bool> run(SteadyClock::time_point deadline) {
    while (input_ || output_ || complaints_) {
      std::array<pollfd, 4> ends{pollfd{output_.get(), POLLIN, 0}, pollfd{complaints_.get(), POLLIN, 0},
                                 pollfd{input_.get(), POLLOUT, 0}, pollfd{command_.stop_fd, POLLIN, 0}};
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
      if (left <= 0) return false;
      const int ready = poll(ends.data(), ends.size(), static_cast<int>(std::min<std::int64_t>(left, 60'000)));
      if (ready < 0 && errno != EINTR) return fail_errno(errno, command_.doing, command_.object);
      if (ready <= 0) continue;
      if (ends[3].revents != 0) return told_to_stop(command_);
      if (ends[0].revents != 0) read_output();
      if (ends[1].revents != 0) read_complaints();
      if (ends[2].revents != 0) write_input();
      if (too_much()) return true;
    }
    return true;
  }

  [[nodiscard]] bool too_much() const {
    return size_ > command_.most_output + 1 ||
           (size_ == command_.most_output + 1 && !output_ && std::as_const(got_).reveal()[size_ - 1] != '\n');
  }
  [[nodiscard]] const std::string& said() const { return said_; }
  CommandOutput take() {
    got_.shrink_to(size_);
    return {std::move(got_), std::move(said_)};
  }

 private:
  // One for the newline, one to see that it is too long.
  [[nodiscard]] std::size_t room_for_all() const { return command_.most_output + 2; }

  void read_output() {
    if (size_ == got_.size()) {
      SecretBytes larger(std::min(got_.size() * 2, room_for_all()));
      std::copy_n(std::as_const(got_).reveal().begin(), size_, larger.reveal().begin());
      got_ = std::move(larger);
    }
    const MutableBytes room = got_.reveal().subspan(size_);
    const ssize_t count = read(output_.get(), room.data(), room.size());
    if (count > 0)
      size_ += static_cast<std::size_t>(count);
    else if (count == 0 || errno != EINTR)
      output_.reset();
  }

  void read_complaints() {
    std::array<char, 256> piece{};
    const ssize_t count = read(complaints_.get(), piece.data(), piece.size());
    if (count == 0 || (count < 0 && errno != EINTR)) complaints_.reset();
    if (count > 0 && said_.size() < kMaxComplaint) said_.append(piece.data(), static_cast<std::size_t>(count));
  }

  void write_input() {
    const ByteView rest = command_.input->reveal().subspan(written_);
    ssize_t count = 0;
    if (!rest.empty()) {
      const NoPipeSignal guard;
      count = write(input_.get(), rest.data(), rest.size());
      if (count < 0 && (errno == EINTR || errno == EAGAIN)) return;
    }
    if (count > 0) written_ += static_cast<std::size_t>(count);
    // All is written, or the child reads no more: what that means its exit status says.
    if (count < 0 || written_ == command_.input->size()) input_.reset();
  }

  const SecretCommand& command_;
  UniqueFd input_;
  UniqueFd output_;
  UniqueFd complaints_;
  SecretBytes got_;
  std::size_t size_ = 0;  // of got_, what the child has written
  std::size_t written_ = 0;
  std::string said_;
};

// False when `deadline` has passed first. Errors: cancelled, io_error.
Result<bool> wait_for_end(const SecretCommand& command, const Child& child, SteadyClock::time_point deadline) {
  std::array<pollfd, 2> ends{pollfd{child.ended(), POLLIN, 0}, pollfd{command.stop_fd, POLLIN, 0}};
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
    const int ready = poll(ends.data(), ends.size(), static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000)));
    if (ready < 0 && errno != EINTR) return fail_errno(errno, command.doing, command.object);
    if (ready > 0 && ends[0].revents != 0) return true;
    if (ready > 0) return told_to_stop(command);
    if (left <= 0) return false;
  }
}

std::string one_line(std::string text) {
  if (text.size() > kMaxComplaint) text.resize(kMaxComplaint);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::replace_if(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return text;
}

}  // namespace

std::unexpected<Error> command_failed(const SecretCommand& command, std::string because,
                                      const std::string& complaints) {
  const std::string said = one_line(complaints);
  if (!said.empty()) because += fmt::format("; it wrote: {}", said);
  return fail(command.failed, command.doing, command.object, std::move(because));
}

Result<CommandOutput> run_secret_command(const SecretCommand& command) {
  if (command.argv.empty() || command.argv[0].empty())
    return fail(command.failed, command.doing, command.object, "no command is named");
  const auto deadline = SteadyClock::now() + command.at_most;
  Pipe in;
  if (command.input != nullptr) {
    CAIRN_TRY(in, make_pipe(command));
    // Only our end, not the child's: a pipe's ends are opened apart.
    if (fcntl(in.write.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno(errno, command.doing, command.object);
  }
  CAIRN_TRY(Pipe out, make_pipe(command));
  CAIRN_TRY(Pipe err, make_pipe(command));
  CAIRN_TRY(Child child, spawn(command, in.read.get(), out.write.get(), err.write.get()));
  in.read.reset();
  out.write.reset();
  err.write.reset();

  const std::string too_slow =
      fmt::format("it took longer than {} s", std::chrono::duration<double>(command.at_most).count());
  Talk talk(command, std::move(in.write), std::move(out.read), std::move(err.read));
  CAIRN_TRY(const bool in_time, talk.run(deadline));
  if (!in_time) return command_failed(command, too_slow, talk.said());
  if (talk.too_much())
    return command_failed(command, fmt::format("it wrote more than {} bytes", command.most_output), {});
  // It closed its output; it should end now.
  CAIRN_TRY(const bool ended, wait_for_end(command, child, deadline));
  if (!ended) return command_failed(command, too_slow, talk.said());
  const int status = child.kill_and_reap();
  if (WIFSIGNALED(status))
    return command_failed(command, fmt::format("it was ended by signal {}", WTERMSIG(status)), talk.said());
  if (WEXITSTATUS(status) != 0)
    return command_failed(command, fmt::format("it ended with exit status {}", WEXITSTATUS(status)), talk.said());
  return talk.take();
}

}  // namespace cairn
