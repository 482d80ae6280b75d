// SPDX-License-Identifier: GPL-3.0-or-later
// The schedule as it is followed: through a year, after downtime, with jitter, with a clock that is set.
#include "daemon/upkeep/scheduler.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>

#include <atomic>
#include <condition_variable>
#include <new>
#include <set>
#include <vector>

#include "tests/daemon/manual_clock.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

Schedule schedule(const std::string& text, const std::string& zone = "UTC") {
  return value_of(Schedule::parse(text, zone));
}

// The local calendar day in Europe/Stockholm by the C library: another implementation than the schedule's own.
std::string stockholm_day(UtcTime time) {
  setenv("TZ", "Europe/Stockholm", 1);
  tzset();
  const time_t when = static_cast<time_t>(time.time_since_epoch().count());
  tm local{};
  localtime_r(&when, &local);
  char text[16];
  strftime(text, sizeof text, "%Y-%m-%d", &local);
  return text;
}

struct StartedRun {
  UtcTime time;
  JobTrigger trigger;
};

// A daemon with one machine "web" that follows `policy`, and what it starts.
class SchedulerTest : public testing::Test {
 protected:
  void use(const std::string& text, const std::string& zone = "UTC", seconds jitter = seconds(0)) {
    Settings settings;
    Policy policy;
    policy.name = "default";
    policy.schedule = schedule(text, zone);
    policy.jitter = jitter;
    settings.policies["default"] = policy;
    MachineSettings machine;
    machine.name = "web";
    settings.machines["web"] = machine;
    settings_ = std::make_shared<const Settings>(std::move(settings));
  }
  std::unique_ptr<Scheduler> new_scheduler() {
    return std::make_unique<Scheduler>(clock_, *journal_,
                                       Scheduler::Hooks{[this] { return settings_; },
                                                        [this](const std::string&, JobTrigger trigger) -> Result<void> {
                                                          if (refuse_) return pass_on(*refuse_);
                                                          const std::lock_guard lock(mutex_);
                                                          runs_.push_back({clock_.now(), trigger});
                                                          started_.notify_all();
                                                          return {};
                                                        }});
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Journal> journal_ = value_of(Journal::open(directory_.path() / "journal.db"));
  ManualClock clock_;
  std::shared_ptr<const Settings> settings_;
  std::mutex mutex_;
  std::condition_variable started_;
  std::vector<StartedRun> runs_;
  std::optional<Error> refuse_;
};

class ScheduleYear : public SchedulerTest, public testing::WithParamInterface<const char*> {};

TEST_P(ScheduleYear, RunsExactlyOnceEachLocalDayInStockholm) {
  use(GetParam(), "Europe/Stockholm");
  // From noon on the last day of 2025, local time, to noon a year and a day later.
  clock_.set(utc("2025-12-31T11:00:00Z"));
  const auto scheduler = new_scheduler();
  const UtcTime end = utc("2027-01-01T11:00:00Z");
  while (clock_.now() < end) {
    const auto next = scheduler->run_due();
    ASSERT_TRUE(next);
    ASSERT_GT(*next, clock_.now());
    // Now and then looks in between, as the thread does.
    clock_.set(std::min(*next, clock_.now() + hours(7)));
  }
  ASSERT_EQ(runs_.size(), 366U);  // 2026 and the first of January 2027
  std::set<std::string> local_days;
  for (const StartedRun& run : runs_) {
    EXPECT_EQ(run.trigger, JobTrigger::schedule);
    EXPECT_TRUE(local_days.insert(stockholm_day(run.time)).second) << "twice on " << stockholm_day(run.time);
  }
  EXPECT_EQ(*local_days.begin(), "2026-01-01");
  EXPECT_EQ(*local_days.rbegin(), "2027-01-01");
}

INSTANTIATE_TEST_SUITE_P(DaylightSaving, ScheduleYear,
                         testing::Values("0 2 * * *", "30 2 * * *", "0 3 * * *", "@daily"));

TEST_F(SchedulerTest, ANewMachineWaitsForItsNextScheduledTime) {
  use("0 2 * * *");
  clock_.set(utc("2026-11-21T12:00:00Z"));
  const auto scheduler = new_scheduler();
  EXPECT_EQ(scheduler->run_due(), utc("2026-11-22T02:00:00Z"));
  EXPECT_EQ(scheduler->next_run("web"), utc("2026-11-22T02:00:00Z"));
  EXPECT_FALSE(scheduler->next_run("other"));
  EXPECT_TRUE(runs_.empty());
  clock_.set(utc("2026-11-22T02:00:00Z"));
  scheduler->run_due();
  scheduler->run_due();
  ASSERT_EQ(runs_.size(), 1U);
  EXPECT_EQ(runs_[0].trigger, JobTrigger::schedule);
}

TEST_F(SchedulerTest, CatchesUpOnceAfterDowntimeOfManyRuns) {
  for (const char* text : {"0 2 * * *", "every 6h", "* * * * *", "0 2 * * 1"}) {
    SCOPED_TRACE(text);
    runs_.clear();
    expect_ok(journal_->set_schedule_mark("web", {utc("2026-11-01T02:00:00Z"), false, {}}));
    use(text);
    clock_.set(utc("2026-11-21T12:34:56Z"));
    const auto scheduler = new_scheduler();
    const auto next = scheduler->run_due();
    ASSERT_EQ(runs_.size(), 1U);
    // A run each minute has one that is not late at all.
    EXPECT_EQ(runs_[0].trigger, std::string(text) == "* * * * *" ? JobTrigger::schedule : JobTrigger::catch_up);
    EXPECT_GT(*next, clock_.now());
    scheduler->run_due();
    new_scheduler()->run_due();  // a restart
    EXPECT_EQ(runs_.size(), 1U);
  }
}

TEST_F(SchedulerTest, CatchesUpAfterYearsOfDowntime) {
  use("* * * * *");
  expect_ok(journal_->set_schedule_mark("web", {utc("2016-11-01T02:00:00Z"), false, {}}));
  new_scheduler()->run_due();
  EXPECT_EQ(runs_.size(), 1U);
  use("0 0 1 1 *");
  expect_ok(journal_->set_schedule_mark("web", {utc("2016-11-01T02:00:00Z"), false, {}}));
  new_scheduler()->run_due();
  EXPECT_EQ(runs_.size(), 2U);
}

TEST_F(SchedulerTest, ShortDowntimeWithNothingMissedStartsNothing) {
  use("0 2 * * *");
  expect_ok(journal_->set_schedule_mark("web", {utc("2026-11-21T02:00:00Z"), false, {}}));
  clock_.set(utc("2026-11-22T01:59:59Z"));
  EXPECT_EQ(new_scheduler()->run_due(), utc("2026-11-22T02:00:00Z"));
  EXPECT_TRUE(runs_.empty());
}

TEST_F(SchedulerTest, ARunThatTheDaemonsEndBrokeOffIsTakenAgainOnce) {
  use("0 2 * * *");
  expect_ok(journal_->set_schedule_mark("web", {utc("2026-11-21T02:00:00Z"), true, {}}));
  clock_.set(utc("2026-11-21T02:10:00Z"));
  const auto scheduler = new_scheduler();
  EXPECT_EQ(scheduler->run_due(), utc("2026-11-22T02:00:00Z"));
  scheduler->run_due();
  ASSERT_EQ(runs_.size(), 1U);
  EXPECT_EQ(runs_[0].trigger, JobTrigger::catch_up);
}

TEST_F(SchedulerTest, AClockSetBackRunsNothingTwice) {
  use("0 2 * * *");
  clock_.set(utc("2026-11-21T01:00:00Z"));
  const auto scheduler = new_scheduler();
  scheduler->run_due();
  clock_.set(utc("2026-11-21T02:00:05Z"));
  scheduler->run_due();
  ASSERT_EQ(runs_.size(), 1U);
  clock_.set(utc("2026-11-21T01:20:00Z"));
  EXPECT_EQ(scheduler->run_due(), utc("2026-11-22T02:00:00Z"));
  clock_.set(utc("2026-11-21T02:00:05Z"));
  scheduler->run_due();
  new_scheduler()->run_due();
  EXPECT_EQ(runs_.size(), 1U);
  clock_.set(utc("2026-11-22T02:00:00Z"));
  scheduler->run_due();
  EXPECT_EQ(runs_.size(), 2U);
}

TEST_F(SchedulerTest, AClockSetFarBackRunsAgainWithinTheInterval) {
  for (const char* text : {"0 * * * *", "every 1h", "0 2 * * *"}) {
    SCOPED_TRACE(text);
    runs_.clear();
    expect_ok(journal_->set_schedule_mark("web", {utc("2026-11-21T01:30:00Z"), false, {}}));
    use(text);
    clock_.set(utc("2026-11-21T02:00:05Z"));
    const auto scheduler = new_scheduler();
    scheduler->run_due();
    ASSERT_EQ(runs_.size(), 1U);
    clock_.set(utc("2026-11-19T20:30:00Z"));
    const auto next = scheduler->run_due();
    EXPECT_EQ(runs_.size(), 1U) << "nothing at once";
    ASSERT_TRUE(next);
    const hours interval(std::string(text) == "0 2 * * *" ? 24 : 1);
    EXPECT_LE(*next - clock_.now(), interval);
    const auto jump = scheduler->clock_jump();
    ASSERT_TRUE(jump);
    EXPECT_EQ(jump->to, utc("2026-11-19T20:30:00Z"));
    EXPECT_LE(jump->from - utc("2026-11-21T02:00:05Z"), minutes(5)) << "what it would have said";
    clock_.set(*next);
    scheduler->run_due();
    EXPECT_EQ(runs_.size(), 2U);
  }
}

TEST_F(SchedulerTest, AMarkInTheFutureIsForgottenAtARestartToo) {
  use("0 * * * *");
  expect_ok(journal_->set_schedule_mark("web", {utc("2026-11-21T05:00:00Z"), false, {}}));
  clock_.set(utc("2026-11-21T02:10:00Z"));
  EXPECT_EQ(new_scheduler()->run_due(), utc("2026-11-21T03:00:00Z"));
  // A correction of a moment is no reason to run twice.
  expect_ok(journal_->set_schedule_mark("web", {utc("2026-11-21T05:00:00Z"), false, {}}));
  clock_.set(utc("2026-11-21T04:59:58Z"));
  EXPECT_EQ(new_scheduler()->run_due(), utc("2026-11-21T06:00:00Z"));
}

TEST_F(SchedulerTest, AChangedScheduleStartsNothingAtOnce) {
  use("0 2 * * *");
  clock_.set(utc("2026-11-21T01:00:00Z"));
  auto scheduler = new_scheduler();
  scheduler->run_due();
  clock_.set(utc("2026-11-21T02:00:00Z"));
  scheduler->run_due();
  ASSERT_EQ(runs_.size(), 1U);
  // 10:00 lies between the last run and now, but was no scheduled time then. A reload, and a restart with new settings.
  clock_.set(utc("2026-11-21T12:00:00Z"));
  use("0 10 * * *");
  EXPECT_EQ(scheduler->run_due(), utc("2026-11-22T10:00:00Z"));
  use("0 11 * * *");
  scheduler = new_scheduler();
  EXPECT_EQ(scheduler->run_due(), utc("2026-11-22T11:00:00Z"));
  use("0 11 * * *", "Europe/Stockholm");  // 10:00 UTC
  EXPECT_EQ(scheduler->run_due(), utc("2026-11-22T10:00:00Z"));
  EXPECT_EQ(runs_.size(), 1U);
  // From then on it is caught up like any other.
  clock_.set(utc("2026-11-22T15:00:00Z"));
  new_scheduler()->run_due();
  ASSERT_EQ(runs_.size(), 2U);
  EXPECT_EQ(runs_[1].trigger, JobTrigger::catch_up);
}

TEST_F(SchedulerTest, ARunThatIsOwedStaysOwedWhenTheScheduleChanges) {
  expect_ok(journal_->set_schedule_mark("web", {utc("2026-11-21T02:00:00Z"), true, "0 2 * * * UTC"}));
  use("0 10 * * *");
  clock_.set(utc("2026-11-21T12:00:00Z"));
  EXPECT_EQ(new_scheduler()->run_due(), utc("2026-11-22T10:00:00Z"));
  EXPECT_EQ(runs_.size(), 1U);
}

TEST_F(SchedulerTest, AMarkOfAnOlderJournalIsCaughtUp) {
  expect_ok(journal_->set_schedule_mark("web", {utc("2026-11-20T02:00:00Z"), false, {}}));
  use("0 2 * * *");
  clock_.set(utc("2026-11-21T12:00:00Z"));
  new_scheduler()->run_due();
  EXPECT_EQ(runs_.size(), 1U);
  EXPECT_EQ(value_of(journal_->schedule_mark("web"))->schedule, "0 2 * * * UTC");
}

TEST_F(SchedulerTest, TheThreadOutlivesAPassThatThrows) {
  use("* * * * *");
  clock_.set(utc("2026-11-21T01:00:30Z"));
  std::atomic<bool> thrown = false;
  Scheduler scheduler(clock_, *journal_,
                      Scheduler::Hooks{[this] { return settings_; },
                                       [&](const std::string&, JobTrigger trigger) -> Result<void> {
                                         if (!thrown.exchange(true)) throw std::bad_alloc();
                                         const std::lock_guard lock(mutex_);
                                         runs_.push_back({clock_.now(), trigger});
                                         started_.notify_all();
                                         return {};
                                       }});
  scheduler.run_due();
  clock_.set(utc("2026-11-21T01:01:00Z"));
  scheduler.start();
  std::unique_lock lock(mutex_);
  while (runs_.empty()) {
    scheduler.poke();
    started_.wait_for(lock, std::chrono::milliseconds(20));
  }
  lock.unlock();
  EXPECT_TRUE(thrown);
  scheduler.stop();
}

TEST_F(SchedulerTest, AMarkFromTheFarFutureIsForgotten) {
  use("0 2 * * *");
  expect_ok(journal_->set_schedule_mark("web", {utc("2040-01-01T02:00:00Z"), false, {}}));
  clock_.set(utc("2026-11-21T12:00:00Z"));
  const auto scheduler = new_scheduler();
  EXPECT_EQ(scheduler->run_due(), utc("2026-11-22T02:00:00Z"));
  EXPECT_TRUE(runs_.empty());
  clock_.set(utc("2026-11-22T02:00:00Z"));
  scheduler->run_due();
  EXPECT_EQ(runs_.size(), 1U);
}

TEST(Jitter, IsTheSameForTheSameRunAndWithinItsBounds) {
  const UtcTime base = utc("2026-01-01T02:00:00Z");
  std::set<std::int64_t> seen;
  for (int day = 0; day < 400; ++day) {
    const UtcTime run = base + days(day);
    const seconds jitter = jitter_of("web-01", run, minutes(10));
    EXPECT_GE(jitter, seconds(0));
    EXPECT_LE(jitter, minutes(10));
    EXPECT_EQ(jitter, jitter_of("web-01", run, minutes(10)));
    seen.insert(jitter.count());
  }
  EXPECT_GT(seen.size(), 200U) << "spread out";
  EXPECT_LT(*seen.begin(), 30);
  EXPECT_GT(*seen.rbegin(), 570);
  EXPECT_NE(jitter_of("web-01", base, hours(24)), jitter_of("web-02", base, hours(24)));
  EXPECT_EQ(jitter_of("web-01", base, seconds(0)), seconds(0));
}

TEST_F(SchedulerTest, StartsEachRunAtItsJitteredTimeAndOnce) {
  use("0 2 * * *", "UTC", minutes(30));
  clock_.set(utc("2026-11-20T12:00:00Z"));
  const auto scheduler = new_scheduler();
  for (UtcTime night = utc("2026-11-21T02:00:00Z"); night < utc("2026-12-21T02:00:00Z"); night += days(1)) {
    const std::size_t before = runs_.size();
    const UtcTime expected = night + jitter_of("web", night, minutes(30));
    EXPECT_EQ(scheduler->run_due(), expected);
    clock_.set(expected - seconds(1));
    scheduler->run_due();
    EXPECT_EQ(runs_.size(), before);
    clock_.set(expected);
    scheduler->run_due();
    scheduler->run_due();
    ASSERT_EQ(runs_.size(), before + 1);
    EXPECT_EQ(runs_.back().trigger, JobTrigger::schedule);
  }
}

TEST_F(SchedulerTest, ABusyMachineSkipsTheRunAndAStoppingDaemonKeepsItDue) {
  use("0 2 * * *");
  clock_.set(utc("2026-11-21T01:00:00Z"));
  const auto scheduler = new_scheduler();
  scheduler->run_due();
  clock_.set(utc("2026-11-21T02:00:00Z"));
  refuse_ = Error{ErrorCode::shutting_down, "start", "web", "", 0, {}};
  scheduler->run_due();
  refuse_.reset();
  scheduler->run_due();
  ASSERT_EQ(runs_.size(), 1U) << "still due once somebody takes it";
  clock_.set(utc("2026-11-22T02:00:00Z"));
  refuse_ = Error{ErrorCode::job_conflict, "start", "web", "a job runs", 0, {}};
  scheduler->run_due();
  refuse_.reset();
  EXPECT_EQ(scheduler->run_due(), utc("2026-11-23T02:00:00Z"));
  EXPECT_EQ(runs_.size(), 1U);
}

TEST_F(SchedulerTest, MachinesComeAndGoWithTheSettings) {
  use("0 2 * * *");
  clock_.set(utc("2026-11-21T01:00:00Z"));
  const auto scheduler = new_scheduler();
  scheduler->run_due();
  settings_ = std::make_shared<const Settings>();
  clock_.set(utc("2026-11-21T02:00:00Z"));
  EXPECT_FALSE(scheduler->run_due());
  EXPECT_TRUE(runs_.empty());
}

TEST_F(SchedulerTest, TheThreadStartsWhatIsDueWhenItIsPoked) {
  use("0 2 * * *");
  clock_.set(utc("2026-11-21T01:00:00Z"));
  const auto scheduler = new_scheduler();
  scheduler->run_due();
  scheduler->start();
  clock_.set(utc("2026-11-21T02:00:00Z"));
  scheduler->poke();
  {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(started_.wait_for(lock, seconds(60), [&] { return !runs_.empty(); }));
  }
  scheduler->stop();
  EXPECT_EQ(runs_.size(), 1U);
}

}  // namespace
}  // namespace cairn
