// SPDX-License-Identifier: GPL-3.0-or-later
// ConfinedProcess. Everything that can be made beforehand is made by the parent: between fork(2) and execve(2) only
// calls that are safe there are made (signal-safety(7)).
#include "fs/image/confined_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 does not say itself that it is C
}

namespace cairn {
namespace {

constexpr int kListener = 3;  // sd_listen_fds(3)
constexpr int kFirstFile = 10;
constexpr std::size_t kMostFiles = 256;
constexpr int kScratch = 600;               // above all that the child is given
constexpr rlim_t kMostMemory = 4ULL << 30;  // address space: stacks and arenas of its threads, most of it never used
constexpr rlim_t kMostWritten = 256ULL * 1024;  // of output and of complaints
constexpr std::size_t kPidDigits = 20;

// Which rights a Landlock ruleset of this kernel can take away. The numbers are those of linux/landlock.h, of which an
// older copy does not have all.
constexpr std::uint64_t kHandledRights = (1ULL << 13) - 1;
constexpr std::uint64_t kReadFile = LANDLOCK_ACCESS_FS_READ_FILE;
constexpr std::uint64_t kUseProgram =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_DIR;

bool allow(int ruleset, int file, std::uint64_t rights) {
  landlock_path_beneath_attr rule{};
  rule.parent_fd = file;
  rule.allowed_access = rights;
  return ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

// Empty: this kernel has no Landlock, and `why` says so.
UniqueFd make_ruleset(const std::vector<int>& files, std::string& why) {
  landlock_ruleset_attr handled{};
  handled.handled_access_fs = kHandledRights;
  UniqueFd ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof handled.handled_access_fs, 0)));
  if (!ruleset) {
    why = fmt::format("the kernel has no Landlock ({})", std::strerror(errno));
    return {};
  }
  for (const char* folder : {"/usr", "/lib", "/lib64"}) {
    const UniqueFd opened(::open(folder, O_PATH | O_CLOEXEC));
    if (opened) static_cast<void>(allow(ruleset.get(), opened.get(), kUseProgram));
  }
  for (const char* name : {"/etc/ld.so.cache", "/dev/null", "/dev/urandom"}) {
    const UniqueFd opened(::open(name, O_PATH | O_CLOEXEC));
    if (opened) static_cast<void>(allow(ruleset.get(), opened.get(), kReadFile));
  }
  for (const int file : files)
    if (!allow(ruleset.get(), file, kReadFile)) why = fmt::format("Landlock: {}", std::strerror(errno));
  return ruleset;
}

struct Capabilities {
  std::array<__user_cap_data_struct, 2> keep{};
};
Capabilities capabilities_to_keep(bool files_of_others) {
  Capabilities kept;
  if (!files_of_others) return kept;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> now{};
  if (::syscall(SYS_capget, &header, now.data()) != 0) return kept;
  const std::uint32_t wanted = 1U << CAP_DAC_READ_SEARCH;
  kept.keep[0].effective = now[0].effective & wanted;
  kept.keep[0].permitted = now[0].permitted & wanted;
  // Without this a program loses it at execve(2), unless it is root's.
  kept.keep[0].inheritable = now[0].inheritable & wanted;
  return kept;
}

// What the child needs, all of it made before fork(2).
struct ChildPlan {
  const char* program;
  char* const* words;
  char* const* environment;
  char* listen_pid;  // where the digits of its process id go; null: nothing listens
  std::array<int, 3> streams;
  int listener;
  const int* files;
  std::size_t file_count;
  int ruleset;
  int problem;  // a pipe for errno, closed by execve(2)
  Capabilities capabilities;
  pid_t parent;
};

[[noreturn]] void give_up_child(int problem) {
  const int error = errno;
  if (::write(problem, &error, sizeof error) < 0) _exit(126);
  _exit(127);
}

void limit(int what, rlim_t most) {
  struct rlimit bound{most, most};
  static_cast<void>(::setrlimit(static_cast<__rlimit_resource>(what), &bound));
}

void write_digits(char* to, pid_t number) {
  char digits[kPidDigits];
  std::size_t count = 0;
  for (; number > 0; number /= 10) digits[count++] = static_cast<char>('0' + number % 10);
  while (count > 0) *to++ = digits[--count];
  *to = '\0';
}

// Every descriptor goes up first, so that none is overwritten before it was moved to its place.
int lift(int fd, int problem) {
  const int lifted = ::fcntl(fd, F_DUPFD_CLOEXEC, kScratch);
  if (lifted < 0) give_up_child(problem);
  return lifted;
}

[[noreturn]] void run_child(ChildPlan plan) {
  // First: whatever goes wrong from here on is not the parent's to end.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != plan.parent) _exit(126);
  ::setpgid(0, 0);
  for (const int signal : {SIGPIPE, SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGCHLD, SIGIO}) ::signal(signal, SIG_DFL);
  ::signal(SIGXFSZ, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);

  plan.problem = lift(plan.problem, plan.problem);
  if (plan.ruleset >= 0) plan.ruleset = lift(plan.ruleset, plan.problem);
  int streams[3];
  int lifted[kMostFiles];
  for (int i = 0; i < 3; ++i) streams[i] = lift(plan.streams[static_cast<std::size_t>(i)], plan.problem);
  const int listener = plan.listener >= 0 ? lift(plan.listener, plan.problem) : -1;
  for (std::size_t i = 0; i < plan.file_count; ++i) lifted[i] = lift(plan.files[i], plan.problem);
  for (int i = 0; i < 3; ++i)
    if (::dup2(streams[i], i) < 0) give_up_child(plan.problem);
  if (listener >= 0 && ::dup2(listener, kListener) < 0) give_up_child(plan.problem);
  for (std::size_t i = 0; i < plan.file_count; ++i)
    if (::dup2(lifted[i], kFirstFile + static_cast<int>(i)) < 0) give_up_child(plan.problem);
  // What lies between and above closes at execve(2): everything of ours is O_CLOEXEC, and this makes sure of others'.
  static_cast<void>(::close_range(listener >= 0 ? kListener + 1 : kListener, kFirstFile - 1, CLOSE_RANGE_CLOEXEC));
  static_cast<void>(::close_range(static_cast<unsigned>(kFirstFile) + static_cast<unsigned>(plan.file_count), ~0U,
                                  CLOSE_RANGE_CLOEXEC));

  limit(RLIMIT_AS, kMostMemory);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, kMostWritten);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) give_up_child(plan.problem);
  if (plan.ruleset >= 0 && ::syscall(SYS_landlock_restrict_self, plan.ruleset, 0) != 0) give_up_child(plan.problem);
  static_cast<void>(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  if (::syscall(SYS_capset, &header, plan.capabilities.keep.data()) != 0) give_up_child(plan.problem);
  if (plan.listen_pid != nullptr) write_digits(plan.listen_pid, ::getpid());
  ::execve(plan.program, plan.words, plan.environment);
  give_up_child(plan.problem);
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> all;
  for (std::string& word : words) all.push_back(word.data());
  all.push_back(nullptr);
  return all;
}

std::string text_in(int fd) {
  struct stat facts{};
  if (fd < 0 || ::fstat(fd, &facts) != 0) return {};
  std::string text(static_cast<std::size_t>(facts.st_size), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = ::pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (got <= 0) break;
    done += static_cast<std::size_t>(got);
  }
  text.resize(done);
  return text;
}

}  // namespace

std::string given_file(std::size_t index) {
  return fmt::format("/proc/self/fd/{}", kFirstFile + static_cast<int>(index));
}

Result<std::string> find_tool(const std::string& tool) {
  for (const char* folder : {"/usr/bin/", "/usr/local/bin/"})
    if (std::string path = folder + tool; ::access(path.c_str(), X_OK) == 0) return path;
  return fail(ErrorCode::image_tool_missing, "run", tool, "it is not in /usr/bin");
}

Result<ConfinedProcess> ConfinedProcess::start(const ConfinedCommand& command, const std::string& doing,
                                               const std::string& object) {
  CAIRN_ASSERT(command.files.size() <= kMostFiles);
  CAIRN_TRY(const std::string program, find_tool(command.tool));
  const auto failed = [&](const char* what) {
    return fail_errno(errno, doing, object, ErrorCode::io_error, fmt::format("{}: {}", command.tool, what));
  };
  ConfinedProcess process;
  process.doing_ = doing;
  process.object_ = object;
  process.output_ = UniqueFd(::memfd_create("cairn-output", MFD_CLOEXEC));
  process.complaints_ = UniqueFd(::memfd_create("cairn-complaints", MFD_CLOEXEC));
  const UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::array<int, 2> ends{-1, -1};
  if (!process.output_ || !process.complaints_ || !nothing || ::pipe2(ends.data(), O_CLOEXEC) != 0)
    return failed("it cannot be started");
  const UniqueFd problem(ends[0]);
  UniqueFd problem_of_child(ends[1]);
  const UniqueFd ruleset = make_ruleset(command.files, process.not_confined_);

  std::vector<std::string> words{program};
  words.insert(words.end(), command.words.begin(), command.words.end());
  constexpr std::string_view kListenPid = "LISTEN_PID=";
  std::vector<std::string> environment{"PATH=/usr/bin:/bin", "LC_ALL=C", "MALLOC_ARENA_MAX=2"};
  if (command.listener >= 0) {
    environment.emplace_back("LISTEN_FDS=1");
    environment.push_back(std::string(kListenPid) + std::string(kPidDigits, '\0'));
  }
  const std::vector<char*> word_pointers = pointers(words);
  const std::vector<char*> environment_pointers = pointers(environment);
  ChildPlan plan{program.c_str(),
                 word_pointers.data(),
                 environment_pointers.data(),
                 command.listener >= 0 ? environment.back().data() + kListenPid.size() : nullptr,
                 {nothing.get(), process.output_.get(), process.complaints_.get()},
                 command.listener,
                 command.files.data(),
                 command.files.size(),
                 ruleset.get(),
                 problem_of_child.get(),
                 capabilities_to_keep(command.files_of_others),
                 ::getpid()};
  const pid_t pid = ::fork();
  if (pid < 0) return failed("it cannot be started");
  if (pid == 0) run_child(plan);
  process.pid_ = pid;
  process.ended_ = UniqueFd(::pidfd_open(pid, 0));
  problem_of_child.reset();
  int error = 0;
  ssize_t got = 0;
  do got = ::read(problem.get(), &error, sizeof error);
  while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof error)) {
    errno = error;
    return failed("it cannot be started");
  }
  if (!process.ended_) return failed("it cannot be watched");
  return process;
}

ConfinedProcess::ConfinedProcess(ConfinedProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      status_(other.status_),
      ended_(std::move(other.ended_)),
      output_(std::move(other.output_)),
      complaints_(std::move(other.complaints_)),
      doing_(std::move(other.doing_)),
      object_(std::move(other.object_)),
      not_confined_(std::move(other.not_confined_)) {}

ConfinedProcess& ConfinedProcess::operator=(ConfinedProcess&& other) noexcept {
  if (this == &other) return *this;
  end();
  pid_ = std::exchange(other.pid_, -1);
  status_ = other.status_;
  ended_ = std::move(other.ended_);
  output_ = std::move(other.output_);
  complaints_ = std::move(other.complaints_);
  doing_ = std::move(other.doing_);
  object_ = std::move(other.object_);
  not_confined_ = std::move(other.not_confined_);
  return *this;
}

ConfinedProcess::~ConfinedProcess() {
  end();
}

void ConfinedProcess::end() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Result<int> ConfinedProcess::finish(std::chrono::milliseconds at_most) {
  if (pid_ < 0) return status_;
  const auto until = std::chrono::steady_clock::now() + at_most;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    pollfd watched{ended_.get(), POLLIN, 0};
    const int ready = ::poll(&watched, 1, left > 0 ? static_cast<int>(left) : 0);
    if (ready < 0 && errno == EINTR) continue;
    if (ready > 0) break;
    end();
    return fail(ErrorCode::io_error, doing_, object_,
                fmt::format("the tool did not end within {} s",
                            std::chrono::duration_cast<std::chrono::seconds>(at_most).count()));
  }
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return status_;
}

std::string ConfinedProcess::output() const {
  return text_in(output_.get());
}

std::string ConfinedProcess::last_words() const {
  std::string text = text_in(complaints_.get());
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  const std::size_t line = text.find_last_of('\n');
  std::string last = line == std::string::npos ? text : text.substr(line + 1);
  for (char& c : last)
    if (static_cast<unsigned char>(c) < ' ') c = '?';
  return last;
}

}  // namespace cairn
