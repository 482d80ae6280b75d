// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/helper_process.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "crypto/helper_end.h"

extern char** environ;

namespace cairn {
namespace {

constexpr int kMayEndWithin = 2000;  // ms

// A group of its own, so that Ctrl-C reaches who started it first; and no signals that we block or ignore.
int spawn_helper(const std::string& work, int socket, int extra_fd, pid_t& pid) {
  std::string name = kHelperName;
  std::string what = work;
  std::array<char*, 3> words{name.data(), what.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, socket, kHelperSocket);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  if (extra_fd >= 0) posix_spawn_file_actions_adddup2(&actions, extra_fd, kHelperExtraFd);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t signals;
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  sigfillset(&signals);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  const int problem = posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, words.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return problem;
}

}  // namespace

HelperProcess::HelperProcess(HelperTask task)
    : task_(std::move(task)), deadline_(std::chrono::steady_clock::now() + task_.at_most) {}

HelperProcess::HelperProcess(HelperProcess&& other) noexcept
    : task_(std::move(other.task_)),
      deadline_(other.deadline_),
      told_to_stop_(std::move(other.told_to_stop_)),
      on_stop_(std::move(other.on_stop_)),
      socket_(std::move(other.socket_)),
      pid_(std::exchange(other.pid_, -1)),
      used_up_(other.used_up_) {}

HelperProcess::~HelperProcess() {
  if (pid_ > 0) static_cast<void>(reap());
}

int HelperProcess::reap() {
  int status = 0;
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
  }
  pid_ = -1;
  return status;
}

Result<HelperProcess> HelperProcess::start(HelperTask task) {
  HelperProcess helper(std::move(task));
  const HelperTask& of = helper.task_;
  helper.told_to_stop_ = std::make_shared<UniqueFd>(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!*helper.told_to_stop_) return fail_errno(errno, of.doing, of.object);
  helper.on_stop_ = std::make_unique<std::stop_callback<std::function<void()>>>(
      of.stop, [told = helper.told_to_stop_] { static_cast<void>(eventfd_write(told->get(), 1)); });
  // Both above those that it gets: dup2 of a descriptor onto itself would leave it to be closed.
  std::array<int, 2> ends{-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return fail_errno(errno, of.doing, of.object);
  helper.socket_ = UniqueFd(ends[0]);
  const UniqueFd low(ends[1]);
  const UniqueFd theirs(fcntl(low.get(), F_DUPFD_CLOEXEC, kHelperExtraFd + 1));
  const UniqueFd extra(of.extra_fd < 0 ? -1 : fcntl(of.extra_fd, F_DUPFD_CLOEXEC, kHelperExtraFd + 1));
  if (!theirs || (of.extra_fd >= 0 && !extra)) return fail_errno(errno, of.doing, of.object);
  if (fcntl(helper.socket_.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno(errno, of.doing, of.object);
  if (const int problem = spawn_helper(of.work, theirs.get(), extra.get(), helper.pid_); problem != 0) {
    helper.pid_ = -1;
    return fail_errno(problem, of.doing, of.object, ErrorCode::helper_failed, "it could not be started");
  }
  return helper;
}

Result<void> HelperProcess::wait_for(short events) {
  while (true) {
    std::array<pollfd, 2> ends{pollfd{socket_.get(), events, 0}, pollfd{told_to_stop_->get(), POLLIN, 0}};
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline_ - std::chrono::steady_clock::now()).count();
    if (left <= 0)
      return fail(ErrorCode::helper_failed, task_.doing, task_.object,
                  fmt::format("it did not answer within {} s", task_.at_most.count() / 1000));
    const int ready = poll(ends.data(), ends.size(), static_cast<int>(std::min<std::int64_t>(left, 60'000)));
    if (ready < 0 && errno != EINTR) return fail_errno(errno, task_.doing, task_.object);
    if (ready <= 0) continue;
    if (ends[1].revents != 0) return fail(ErrorCode::cancelled, task_.doing, task_.object, "it was asked to stop");
    return {};
  }
}

std::unexpected<Error> HelperProcess::gone() {
  // It closed its end of the socket by ending; one that was made to do so otherwise is not waited for.
  const UniqueFd ended(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  pollfd end{ended.get(), POLLIN, 0};
  while (poll(&end, 1, kMayEndWithin) < 0 && errno == EINTR) {
  }
  const int status = reap();
  used_up_ = WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU;
  std::string because = fmt::format("it ended with status {}", WEXITSTATUS(status));
  if (WIFSIGNALED(status))
    because = fmt::format("it was ended by signal {} ({}){}", WTERMSIG(status), strsignal(WTERMSIG(status)),
                          WTERMSIG(status) == SIGKILL ? ": for want of memory?" : "");
  return fail(ErrorCode::helper_failed, task_.doing, task_.object, because);
}

Result<void> HelperProcess::send(ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (wrote > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(wrote));
      continue;
    }
    if (wrote < 0 && errno == EPIPE) return gone();
    if (wrote < 0 && errno != EAGAIN && errno != EINTR) return fail_errno(errno, task_.doing, task_.object);
    CAIRN_CHECK(wait_for(POLLOUT));
  }
  return {};
}

Result<void> HelperProcess::receive(MutableBytes to) {
  while (!to.empty()) {
    const ssize_t got = ::recv(socket_.get(), to.data(), to.size(), 0);
    if (got > 0) {
      to = to.subspan(static_cast<std::size_t>(got));
      continue;
    }
    if (got == 0 || (errno == ECONNRESET)) return gone();
    if (errno != EAGAIN && errno != EINTR) return fail_errno(errno, task_.doing, task_.object);
    CAIRN_CHECK(wait_for(POLLIN));
  }
  return {};
}

}  // namespace cairn
