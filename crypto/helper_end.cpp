// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/helper_end.h"

#include <linux/capability.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>

#include "crypto/helper_process.h"
#include "crypto/secret_bytes.h"

namespace cairn {
namespace {

constexpr int kNotConfined = 3;
constexpr int kAlone = 4;

std::atomic<bool> g_helpers_can_run = false;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // a sanitizer needs address space and system calls of its own
#else
constexpr bool kSanitized = false;
#endif

// Only that of locking memory is kept, where there is one.
bool drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return false;
  constexpr std::uint32_t kKept = 1U << CAP_IPC_LOCK;
  data[0] = {data[0].effective & kKept, data[0].permitted & kKept, 0};
  data[1] = {};
  return syscall(SYS_capset, &header, data.data()) == 0;
}

void set_limit(int which, std::uint64_t soft, std::uint64_t hard) {
  const rlimit limit{soft, hard};
  static_cast<void>(setrlimit(static_cast<__rlimit_resource>(which), &limit));
}

}  // namespace

bool helpers_can_run() {
  return g_helpers_can_run;
}

void note_helpers_can_run() {
  g_helpers_can_run = true;
}

std::string helper_work(int argc, char** argv) {
  return argc == 2 && std::string_view(argv[0]) == kHelperName ? std::string(argv[1]) : std::string();
}

void become_helper() {
  static_cast<void>(prctl(PR_SET_NAME, kHelperName, 0, 0, 0));
  // Who started it may have ended before: then nobody talks, and it ends as well.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) end_helper(kNotConfined);
  harden_process();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) end_helper(kNotConfined);
  static_cast<void>(syscall(SYS_close_range, kHelperExtraFd + 1, ~0U, 0));
  // When memory is short this goes first, and not the daemon.
  std::ofstream("/proc/self/oom_score_adj") << 1000;
  set_limit(RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
  if (!drop_capabilities()) end_helper(kNotConfined);
}

void limit_processor(unsigned seconds) {
  set_limit(RLIMIT_CPU, seconds, std::uint64_t{seconds} + 5);
}

void close_helper(std::uint64_t memory_bytes) {
  if (kSanitized) return;
  set_limit(RLIMIT_AS, memory_bytes, memory_bytes);
  constexpr std::array kAllowed = {
      SCMP_SYS(read),    SCMP_SYS(write),        SCMP_SYS(recvfrom),     SCMP_SYS(sendto),
      SCMP_SYS(mmap),    SCMP_SYS(munmap),       SCMP_SYS(mremap),       SCMP_SYS(mprotect),
      SCMP_SYS(madvise), SCMP_SYS(brk),          SCMP_SYS(futex),        SCMP_SYS(clock_gettime),
      SCMP_SYS(time),    SCMP_SYS(gettimeofday), SCMP_SYS(getrandom),    SCMP_SYS(rt_sigprocmask),
      SCMP_SYS(getpid),  SCMP_SYS(gettid),       SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
      SCMP_SYS(exit),    SCMP_SYS(exit_group)};
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  bool well = filter != nullptr;
  for (const int call : kAllowed) well = well && seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) == 0;
  well = well && seccomp_load(filter) == 0;
  seccomp_release(filter);
  if (!well) end_helper(kNotConfined);
}

void helper_receive(MutableBytes to) {
  while (!to.empty()) {
    const ssize_t got = recv(kHelperSocket, to.data(), to.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) end_helper(kAlone);
    to = to.subspan(static_cast<std::size_t>(got));
  }
}

void helper_send(ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = send(kHelperSocket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) end_helper(kAlone);
    bytes = bytes.subspan(static_cast<std::size_t>(wrote));
  }
}

void end_helper(int status) {
  _exit(status);
}

}  // namespace cairn
