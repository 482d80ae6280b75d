// SPDX-License-Identifier: GPL-3.0-or-later
// When backups run: the decision, and the thread that applies it. Rules: daemon/upkeep/scheduler.h.
#include "daemon/upkeep/scheduler.h"

#include <algorithm>
#include <array>
#include <utility>

#include "config/base/bytes.h"
#include "config/base/exception_door.h"
#include "config/base/log.h"
#include "crypto/chunk_name.h"

namespace cairn {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

// A run begun later than this after its time was missed, not just a little late.
constexpr seconds kLate = minutes(1);
// The thread looks at least this often: a clock that was set does not wake a waiting thread.
constexpr seconds kLongestWait{30};

// The last run in (after, now] whose moved time has come. Searched back in growing windows, so that neither a long
// downtime nor a run every minute makes many steps.
std::optional<UtcTime> last_due(const Schedule& schedule, seconds jitter, const std::string& machine, UtcTime after,
                                UtcTime now) {
  constexpr std::array<seconds, 5> kWindows{hours(2), days(2), days(32), days(400), days(5 * 366)};
  for (const seconds window : kWindows) {
    // The jitter may move a run out of the window where it is due.
    const UtcTime from = std::max(after, now - window - jitter);
    std::optional<UtcTime> found;
    for (auto run = schedule.next_after(from); run && *run <= now; run = schedule.next_after(*run))
      if (*run + jitter_of(machine, *run, jitter) <= now) found = run;
    if (found || from == after) return found;
  }
  return std::nullopt;
}

// So far the clock may have been set back without a run being due again: nothing runs twice for a correction.
seconds small_step(const Schedule& schedule, UtcTime now) {
  const auto next = schedule.next_after(now);
  const auto after = next ? schedule.next_after(*next) : std::nullopt;
  if (!after) return kClockTolerance;
  return std::min(kClockTolerance, std::chrono::duration_cast<seconds>(*after - *next) / 2);
}

}  // namespace

seconds jitter_of(const std::string& machine, UtcTime run, seconds at_most) {
  if (at_most.count() <= 0) return seconds(0);
  Buffer key;
  append(key, as_bytes(machine));
  append_le(key, static_cast<std::int64_t>(run.time_since_epoch().count()));
  Blake3 hash;
  hash.update(key);
  const auto digest = hash.finish();
  return seconds(get_le<std::uint64_t>(digest) % (static_cast<std::uint64_t>(at_most.count()) + 1));
}

ScheduleDecision decide_run(const Schedule& schedule, seconds jitter, const std::string& machine,
                            const std::optional<ScheduleMark>& mark, UtcTime now, ClockSeen clock) {
  ScheduleDecision decision;
  decision.mark = mark.value_or(ScheduleMark{now, false, {}});
  const UtcTime handled = decision.mark.handled;
  if (handled > now && (clock == ClockSeen::set_back || handled > now + small_step(schedule, now))) {
    decision.clock_was_wrong = true;
    decision.mark.handled = now;
  }
  const std::string followed = schedule.text() + " " + schedule.zone();
  if (!decision.mark.schedule.empty() && decision.mark.schedule != followed)
    decision.mark.handled = std::max(decision.mark.handled, now);
  decision.mark.schedule = followed;
  const auto due = last_due(schedule, jitter, machine, decision.mark.handled, now);
  if (decision.mark.missed) {
    decision.start = JobTrigger::catch_up;
  } else if (due) {
    const bool late = now - (*due + jitter_of(machine, *due, jitter)) > kLate;
    decision.start = late ? JobTrigger::catch_up : JobTrigger::schedule;
  }
  decision.mark.missed = false;
  if (due) decision.mark.handled = *due;
  if (const auto next = schedule.next_after(decision.mark.handled))
    decision.next_run = *next + jitter_of(machine, *next, jitter);
  return decision;
}

Scheduler::Scheduler(const Clock& clock, Journal& journal, Hooks hooks)
    : clock_(clock),
      journal_(journal),
      hooks_(std::move(hooks)),
      thread_("schedule-failed", "scheduler", [this](PokedThread::Why, const std::stop_token&) { return pass(); }) {}

Scheduler::~Scheduler() {
  stop();
}

std::optional<ScheduleMark> Scheduler::mark_of(Marks& marks, const std::string& machine) {
  if (const auto known = marks.find(machine); known != marks.end()) return known->second;
  auto mark = journal_.schedule_mark(machine);
  if (!mark) {
    log_error("schedule-unknown", machine, mark.error());
    return std::nullopt;
  }
  if (*mark) marks[machine] = **mark;
  return *mark;
}

void Scheduler::keep_mark(Marks& marks, const std::string& machine, const ScheduleMark& mark) {
  const auto known = marks.find(machine);
  if (known != marks.end() && known->second == mark) return;
  marks[machine] = mark;
  // Kept in memory even when the journal fails: a full disk must not start the same run again and again.
  if (auto kept = journal_.set_schedule_mark(machine, mark); !kept) log_error("journal-failed", machine, kept.error());
}

std::optional<UtcTime> Scheduler::run_due() {
  const auto marks = marks_.lock();
  const std::shared_ptr<const Settings> settings = hooks_.settings();
  const UtcTime now = clock_.now();
  const ClockSeen clock = look_at_clock(now);
  std::optional<UtcTime> earliest;
  std::map<std::string, std::optional<UtcTime>> next;
  for (const auto& [name, machine] : settings->machines) {
    const Policy& policy = settings->policy_of(machine);
    const auto before = mark_of(*marks, name);
    ScheduleDecision decision = decide_run(policy.schedule, policy.jitter, name, before, now, clock);
    if (decision.clock_was_wrong)
      log_event(LogLevel::warning, "schedule-reset", name,
                {{"because", "its last run lies in the future: the clock was wrong, or was set back"},
                 {"last_run", iso_time(before->handled)}});
    if (decision.start) {
      auto started = hooks_.start(name, *decision.start);
      if (!started && started.error().code == ErrorCode::shutting_down) continue;
      if (!started && started.error().code == ErrorCode::job_conflict)
        log_event(LogLevel::warning, "schedule-skipped", name, {{"because", started.error().because}});
      else if (!started)
        log_error("schedule-failed", name, started.error());
    }
    keep_mark(*marks, name, decision.mark);
    next[name] = decision.next_run;
    if (decision.next_run && (!earliest || *decision.next_run < *earliest)) earliest = decision.next_run;
  }
  std::erase_if(*marks, [&](const auto& entry) { return !settings->machines.contains(entry.first); });
  const auto passed = passed_.lock();
  passed->next = std::move(next);
  passed->at = std::chrono::steady_clock::now();
  return earliest;
}

ClockSeen Scheduler::look_at_clock(UtcTime now) {
  ClockReading reading = read_clock(clock_);
  reading.now = now;
  const auto last = std::exchange(last_reading_, reading);
  if (!last) return ClockSeen::goes_on;
  const UtcTime expected = last->now + (reading.since_boot - last->since_boot);
  if (std::chrono::abs(now - expected) <= kClockTolerance) return ClockSeen::goes_on;
  log_event(LogLevel::warning, "clock-jumped", "the clock", {{"from", iso_time(expected)}, {"to", iso_time(now)}});
  passed_.lock()->jump = ClockJump{expected, now};
  return now < expected ? ClockSeen::set_back : ClockSeen::goes_on;
}

std::optional<ClockJump> Scheduler::clock_jump() {
  return passed_.lock()->jump;
}

std::optional<UtcTime> Scheduler::next_run(const std::string& machine) {
  const auto passed = passed_.lock();
  const auto known = passed->next.find(machine);
  return known != passed->next.end() ? known->second : std::nullopt;
}

std::chrono::steady_clock::time_point Scheduler::last_pass() {
  return passed_.lock()->at;
}

void Scheduler::start() {
  thread_.start();
}

void Scheduler::poke() {
  thread_.poke();
}

void Scheduler::stop() {
  thread_.stop();
}

// When passes go on failing last_pass() stays behind, and the watchdog has the daemon started again.
std::chrono::milliseconds Scheduler::pass() {
  const auto next = run_due();
  seconds wait = kLongestWait;
  if (next) wait = std::clamp(std::chrono::duration_cast<seconds>(*next - clock_.now()), seconds(0), kLongestWait);
  // Never less than a moment: a run that cannot be started must not make a busy loop.
  return std::max<std::chrono::milliseconds>(wait, std::chrono::milliseconds(200));
}

}  // namespace cairn
