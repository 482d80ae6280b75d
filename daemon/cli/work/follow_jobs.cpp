// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/work/follow_jobs.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>

#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/progress.h"
#include "daemon/service/service.h"

namespace cairn::cli {
namespace {

std::atomic<bool> g_interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free);  // a signal handler writes it
struct sigaction g_before_int, g_before_term;           // one Interrupts at a time

void note_interrupt(int) {
  g_interrupted = true;
}

}  // namespace

Interrupts::Interrupts() {
  g_interrupted = false;
  struct sigaction action = {};
  action.sa_handler = note_interrupt;
  action.sa_flags = SA_RESTART | SA_RESETHAND;
  ::sigaction(SIGINT, &action, &g_before_int);
  ::sigaction(SIGTERM, &action, &g_before_term);
}
Interrupts::~Interrupts() {
  ::sigaction(SIGINT, &g_before_int, nullptr);
  ::sigaction(SIGTERM, &g_before_term, nullptr);
}
bool Interrupts::seen() {
  return g_interrupted;
}

std::optional<JobState> state_of(const nlohmann::json& job) {
  return parse_job_state(text_of(job, "state"));
}

bool has_ended(const nlohmann::json& job) {
  const auto state = state_of(job);
  return !state || has_ended(*state);
}

ExitCode exit_code_of(const nlohmann::json& jobs) {
  ExitCode worst = ExitCode::done;
  for (const auto& job : jobs) {
    const auto state = state_of(job);
    if (state == JobState::completed_with_warnings) {
      if (worst == ExitCode::done) worst = ExitCode::warnings;
    } else if (state != JobState::completed) {
      worst = ExitCode::failed;
    }
  }
  return worst;
}

Result<nlohmann::json> follow_jobs(Service& service, const nlohmann::json& jobs, bool show_progress) {
  static constexpr std::chrono::milliseconds kLook{250};
  const Interrupts interrupts;
  ProgressDisplay display(show_progress);
  RateMeter rate;
  std::string measured;  // the job that `rate` is about
  bool cancelled = false;
  nlohmann::json now = jobs;
  for (;;) {
    // The one that runs, else the first that waits: several may run at once, but one line is enough.
    nlohmann::json* watched = nullptr;
    for (auto& job : now) {
      if (has_ended(job)) continue;
      if (watched == nullptr || (state_of(*watched) == JobState::queued && state_of(job) == JobState::in_progress))
        watched = &job;
    }
    if (watched == nullptr) return now;
    if (Interrupts::seen() && !cancelled) {
      cancelled = true;
      for (auto& job : now) {
        if (has_ended(job)) continue;
        CAIRN_TRY(job, service.cancel_job(text_of(job, "id")));
      }
      continue;
    }
    const std::string id = text_of(*watched, "id");
    CAIRN_TRY(*watched, service.wait_job(id, number_of(*watched, "revision"), kLook));
    for (auto& job : now) {
      if (&job == watched || has_ended(job)) continue;
      CAIRN_TRY(job, service.job(text_of(job, "id")));
    }
    if (measured != id) rate = RateMeter();
    measured = id;
    const nlohmann::json& progress = member(*watched, "progress");
    rate.add(std::chrono::steady_clock::now(), number_of(progress, "done_bytes"));
    ProgressFacts facts;
    facts.object = text_of(*watched, "object");
    facts.done_bytes = number_of(progress, "done_bytes");
    facts.total_bytes = number_of(progress, "total_bytes");
    facts.bytes_per_second = rate.bytes_per_second();
    facts.jobs = static_cast<unsigned>(now.size());
    facts.job = std::min(facts.jobs, 1 + static_cast<unsigned>(std::count_if(
                                             now.begin(), now.end(), [](const auto& job) { return has_ended(job); })));
    facts.cancelling = cancelled;
    facts.waiting_for = text_of(*watched, "waiting_for");
    display.show(progress_line(facts));
  }
}

}  // namespace cairn::cli
