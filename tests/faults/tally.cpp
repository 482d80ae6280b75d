// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/faults/tally.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <map>
#include <string_view>

namespace cairn::faults {
namespace {

constexpr std::size_t kExamples = 12;
constexpr std::size_t kTextBytes = 400;
constexpr std::uint64_t kNone = ~std::uint64_t{0};

// Shared with the children.
struct SharedResult {
  bool done;
  Verdict verdict;
  std::uint32_t points;
  std::uint32_t cases;
  char text[kTextBytes];
};
struct Shared {
  std::atomic<std::uint64_t> next;
  std::atomic<std::uint64_t> running[64];  // of each worker
};

class SharedMemory {
 public:
  explicit SharedMemory(std::size_t bytes)
      : bytes_(bytes), at_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (at_ == MAP_FAILED) std::abort();
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() { ::munmap(at_, bytes_); }
  [[nodiscard]] void* at() const { return at_; }

 private:
  std::size_t bytes_;
  void* at_;
};

[[noreturn]] void work(Shared& shared, SharedResult* results, unsigned worker, std::size_t count,
                       const std::function<CaseResult(std::size_t)>& run, std::chrono::seconds limit) {
  for (;;) {
    const std::uint64_t number = shared.next++;
    if (number >= count) ::_exit(0);
    shared.running[worker] = number;
    ::alarm(static_cast<unsigned>(limit.count()));
    CaseResult result;
    try {
      result = run(number);
    } catch (const std::exception& problem) {
      result.add(Verdict::other, problem.what());
    }
    ::alarm(0);
    SharedResult& to = results[number];
    to.verdict = result.verdict;
    to.points = result.points;
    to.cases = result.cases;
    std::strncpy(to.text, result.text.c_str(), kTextBytes - 1);
    to.done = true;
    shared.running[worker] = kNone;
  }
}

}  // namespace

void CaseResult::add(Verdict found, std::string because) {
  if (found <= verdict) return;
  verdict = found;
  text = std::move(because);
}

void Tally::count(const CaseResult& result, const std::string& name) {
  cases += std::max<std::uint32_t>(result.cases, 1);
  points += result.points;
  if (result.verdict == Verdict::fine) return;
  if (result.verdict == Verdict::lost) ++lost;
  if (result.verdict == Verdict::wrong) ++wrong;
  if (result.verdict == Verdict::other) ++other;
  constexpr const char* kWords[] = {"fine", "other", "WRONG", "LOST"};
  if (examples.size() < kExamples)
    examples.push_back(std::string(kWords[static_cast<int>(result.verdict)]) + " " + name + ": " + result.text);
}

void Tally::add(const Tally& more) {
  cases += more.cases;
  points += more.points;
  lost += more.lost;
  wrong += more.wrong;
  crashes += more.crashes;
  other += more.other;
  seconds += more.seconds;
  if (!more.skipped.empty()) skipped = more.skipped;
  for (const std::string& example : more.examples)
    if (examples.size() < kExamples) examples.push_back(example);
}

void run_cases(Tally& tally, std::size_t count, const Options& options,
               const std::function<CaseResult(std::size_t)>& run, const std::function<std::string(std::size_t)>& name,
               std::chrono::seconds limit) {
  if (count == 0) return;
  const SharedMemory shared_memory(sizeof(Shared));
  const SharedMemory results_memory(sizeof(SharedResult) * count);
  auto& shared = *new (shared_memory.at()) Shared{};
  auto* results = static_cast<SharedResult*>(results_memory.at());
  const unsigned jobs = std::clamp<unsigned>(options.jobs, 1, 64);
  for (auto& running : shared.running) running = kNone;

  std::map<pid_t, unsigned> workers;
  const auto start = [&](unsigned worker) {
    std::fflush(nullptr);
    const pid_t pid = ::fork();
    if (pid < 0) std::abort();
    if (pid == 0) work(shared, results, worker, count, run, limit);
    workers[pid] = worker;
  };
  for (unsigned worker = 0; worker < std::min<std::size_t>(jobs, count); ++worker) start(worker);
  while (!workers.empty()) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, 0);
    if (pid < 0 && errno == EINTR) continue;
    const auto ended = workers.find(pid);
    if (ended == workers.end()) continue;
    const unsigned worker = ended->second;
    workers.erase(ended);
    const std::uint64_t number = shared.running[worker].exchange(kNone);
    if (number == kNone) continue;  // it found no more cases
    // It died in this case; another one goes on.
    ++tally.cases;
    ++tally.crashes;
    const std::string how = WIFSIGNALED(status) ? (WTERMSIG(status) == SIGALRM ? "hung" : ::strsignal(WTERMSIG(status)))
                                                : "exit " + std::to_string(WEXITSTATUS(status));
    if (tally.examples.size() < kExamples) tally.examples.push_back("CRASH " + name(number) + ": " + how);
    start(worker);
  }
  for (std::size_t i = 0; i < count; ++i)
    if (results[i].done)
      tally.count({results[i].verdict, results[i].points, results[i].cases, results[i].text}, name(i));
}

}  // namespace cairn::faults
