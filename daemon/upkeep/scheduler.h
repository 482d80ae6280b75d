// SPDX-License-Identifier: GPL-3.0-or-later
// Scheduler: starts backups when the machines' policies say so. What is due is decided by a pure function of the
// schedule, the machine's mark in the journal and the time; the thread only waits and applies. The rules:
//   - a machine seen for the first time waits for its next scheduled time;
//   - runs missed while the daemon was down are caught up by one run; so is a run that the daemon's end broke off;
//   - each run is moved by a jitter that depends on machine and run alone, from 0 to the policy's jitter;
//   - a changed schedule counts from the change on: nothing of it was missed before it was in force;
//   - when the clock is set back a little (up to an hour, or half of the interval if that is less) nothing runs twice;
//     when it is set back further, the last run counts as one of just now, and the next one is the schedule's next.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "config/base/clock.h"
#include "config/base/guarded.h"
#include "config/base/poked_thread.h"
#include "config/base/result.h"
#include "config/schedule.h"
#include "config/settings.h"
#include "daemon/queue/job_record.h"
#include "daemon/queue/journal.h"
#include "fs/store/point/trusted_clock.h"

namespace cairn {

// The same for the same machine and run, spread evenly over [0, at_most].
std::chrono::seconds jitter_of(const std::string& machine, UtcTime run, std::chrono::seconds at_most);

struct ScheduleDecision {
  std::optional<JobTrigger> start;  // nothing is due when empty
  ScheduleMark mark;                // the machine's mark from now on (once the run was started)
  std::optional<UtcTime> next_run;  // after this decision; nothing: the schedule never runs
  bool clock_was_wrong = false;     // the old mark was forgotten
};
enum class ClockSeen { goes_on, set_back };
// `mark`: nothing when the machine is seen for the first time. `clock`: set_back when it was seen to go back by more
// than kClockTolerance since the last decision. Pure.
ScheduleDecision decide_run(const Schedule& schedule, std::chrono::seconds jitter, const std::string& machine,
                            const std::optional<ScheduleMark>& mark, UtcTime now, ClockSeen clock = ClockSeen::goes_on);

// The clock was set while the daemon ran.
struct ClockJump {
  UtcTime from;  // what it would have said
  UtcTime to;    // what it said
};

class Scheduler {
 public:
  struct Hooks {
    std::function<std::shared_ptr<const Settings>()> settings;
    // Errors: shutting_down (the run stays due); any other is logged and the run is passed over.
    std::function<Result<void>(const std::string& machine, JobTrigger trigger)> start;
  };
  // `clock` and `journal` must outlive the scheduler.
  Scheduler(const Clock& clock, Journal& journal, Hooks hooks);
  // As stop().
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // One pass over all machines: starts what is due. The earliest next run. Any thread; what the thread of start()
  // calls.
  std::optional<UtcTime> run_due();
  // As of the last pass; nothing when the machine is not known.
  std::optional<UtcTime> next_run(const std::string& machine);

  // Makes passes from a thread of its own: when a run is due, and at least every 30 s, so that a changed clock is
  // noticed.
  void start();
  // Makes a pass soon: the settings have changed.
  void poke();
  void stop();
  // The last time that the clock was seen to be set by more than an hour, forth or back. Nothing: never.
  std::optional<ClockJump> clock_jump();
  // When the last pass ended, for the watchdog.
  std::chrono::steady_clock::time_point last_pass();

 private:
  // How long until the next one.
  std::chrono::milliseconds pass();
  using Marks = std::map<std::string, ScheduleMark>;
  std::optional<ScheduleMark> mark_of(Marks& marks, const std::string& machine);
  void keep_mark(Marks& marks, const std::string& machine, const ScheduleMark& mark);

  // Compares the clock with one that nobody sets. Call with marks_ locked.
  ClockSeen look_at_clock(UtcTime now);

  const Clock& clock_;
  Journal& journal_;
  const Hooks hooks_;
  // What the last pass found.
  struct Passed {
    std::map<std::string, std::optional<UtcTime>> next;  // by machine
    std::chrono::steady_clock::time_point at = std::chrono::steady_clock::now();
    std::optional<ClockJump> jump;
  };
  // The clock and the one that nobody sets (CLOCK_BOOTTIME), at the last pass; under marks_.
  std::optional<ClockReading> last_reading_;
  // As in the journal, or newer if that failed. Locked for a whole pass: one at a time. Before passed_.
  Guarded<Marks> marks_;
  Guarded<Passed> passed_;
  PokedThread thread_;  // last: it uses all the others
};

}  // namespace cairn
