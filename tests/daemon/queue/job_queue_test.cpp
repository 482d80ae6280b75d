// SPDX-License-Identifier: GPL-3.0-or-later
// The queue: bounds, one job a machine, cancelling, following by revision, stopping. Jobs wait for latches, never for
// time.
#include "daemon/queue/job_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <latch>
#include <new>
#include <nlohmann/json.hpp>
#include <thread>

#include "config/base/left_behind.h"
#include "daemon/queue/job.h"
#include "daemon/queue/journal.h"
#include "tests/daemon/manual_clock.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using nlohmann::json;
constexpr std::chrono::milliseconds kLong{60'000};

JobSpec spec_of(const std::string& machine, std::function<Result<json>(JobContext&)> run) {
  JobSpec spec;
  spec.object = machine;
  spec.exclusive = machine;
  spec.run = std::move(run);
  return spec;
}

// Runs until it is cancelled.
Result<json> until_stopped(JobContext& job) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait(lock, job.stop(), [] { return false; });
  return fail(ErrorCode::cancelled, "test", "job");
}

JobRecord wait_for_end(JobQueue& queue, const std::string& id) {
  JobRecord record = queue.job(id).value();
  while (!has_ended(record.state)) record = queue.wait(id, record.revision, kLong).value();
  return record;
}

JobRecord wait_for_start(JobQueue& queue, const std::string& id) {
  JobRecord record = queue.job(id).value();
  while (record.state == JobState::queued) record = queue.wait(id, record.revision, kLong).value();
  return record;
}

class JobQueueTest : public testing::Test {
 protected:
  ManualClock clock_;
};

TEST_F(JobQueueTest, RunsAJobAndKeepsItsResult) {
  JobQueue queue(clock_, nullptr, {});
  const auto queued = queue.submit(spec_of("web", [](JobContext& job) -> Result<json> {
    job.set_total(100);
    job.add_done(40);
    job.set_point("web@20261121T020000Z");
    return json{{"new_bytes", 5}};
  }));
  ASSERT_TRUE(queued);
  EXPECT_EQ(queued->state, JobState::queued);
  const JobRecord record = wait_for_end(queue, queued->id);
  EXPECT_EQ(record.state, JobState::completed);
  EXPECT_EQ(record.point, "web@20261121T020000Z");
  EXPECT_EQ(record.done_bytes, 100U) << "a completed job is done whatever it reported";
  EXPECT_EQ(json::parse(record.result)["new_bytes"], 5);
  EXPECT_TRUE(record.started && record.ended);
  EXPECT_GT(record.revision, queued->revision);
}

// A job that does not look at its stop token, as one that is in a call of the system.
struct Deaf {
  std::latch begun{1};
  std::latch may_end{1};
  JobSpec spec(const std::string& machine) {
    return spec_of(machine, [this](JobContext& job) -> Result<json> {
      begun.count_down();
      may_end.wait();
      if (job.stop().stop_requested() && fails) return fail(ErrorCode::cancelled, "test", "job");
      return json{{"done", true}};
    });
  }
  bool fails = true;
};

JobQueueOptions leaving_soon() {
  JobQueueOptions options;
  options.max_jobs = 1;
  options.leave_after = std::chrono::milliseconds(20);
  return options;
}

TEST_F(JobQueueTest, AJobThatDoesNotStopIsLeftBehindAndOthersRun) {
  Deaf deaf;
  JobQueue queue(clock_, nullptr, leaving_soon());
  const auto stuck = queue.submit(deaf.spec("web"));
  deaf.begun.wait();
  ASSERT_TRUE(queue.cancel(stuck->id));
  const JobRecord left = wait_for_end(queue, stuck->id);
  EXPECT_EQ(left.state, JobState::cancelled);
  EXPECT_NE(left.error->because.find("left behind"), std::string::npos) << left.error->because;
  EXPECT_TRUE(anything_left_behind());
  EXPECT_EQ(queue.counts().running, 0U);

  const auto same = queue.submit(spec_of("web", until_stopped));
  ASSERT_FALSE(same) << "two backups of one machine never run at once";
  EXPECT_EQ(same.error().code, ErrorCode::job_conflict);
  const auto other = queue.submit(spec_of("db", [](JobContext&) -> Result<json> { return json::object(); }));
  EXPECT_EQ(wait_for_end(queue, other->id).state, JobState::completed) << "its place among max_jobs is free";

  deaf.may_end.count_down();
  while (anything_left_behind()) std::this_thread::yield();
  EXPECT_EQ(queue.job(stuck->id)->state, JobState::cancelled);
  EXPECT_TRUE(queue.submit(spec_of("web", [](JobContext&) -> Result<json> { return json::object(); })));
}

TEST_F(JobQueueTest, WhatAJobDidThatWasLeftBehindIsSaidAfterAll) {
  Deaf deaf;
  deaf.fails = false;
  JobQueue queue(clock_, nullptr, leaving_soon());
  const auto stuck = queue.submit(deaf.spec("web"));
  deaf.begun.wait();
  ASSERT_TRUE(queue.cancel(stuck->id));
  EXPECT_EQ(wait_for_end(queue, stuck->id).state, JobState::cancelled);
  deaf.may_end.count_down();
  while (anything_left_behind()) std::this_thread::yield();
  const auto record = queue.job(stuck->id);
  EXPECT_EQ(record->state, JobState::completed_with_warnings);
  EXPECT_FALSE(record->error);
  EXPECT_EQ(record->warnings.size(), 1U);
}

TEST_F(JobQueueTest, StopDoesNotWaitForWhatDoesNotStop) {
  Deaf deaf;
  JobQueue queue(clock_, nullptr, leaving_soon());
  const auto stuck = queue.submit(deaf.spec("web"));
  deaf.begun.wait();
  queue.stop();
  const auto record = queue.job(stuck->id);
  EXPECT_EQ(record->state, JobState::cancelled);
  EXPECT_EQ(record->error->code, ErrorCode::shutting_down);
  deaf.may_end.count_down();
  while (anything_left_behind()) std::this_thread::yield();
}

TEST_F(JobQueueTest, JobsThatWaitAreBoundedAndThoseWithAKeyStillComeIn) {
  JobQueueOptions options;
  options.max_jobs = 1;
  JobQueue queue(clock_, nullptr, options);
  const auto running = queue.submit(spec_of("web", until_stopped));
  wait_for_start(queue, running->id);
  JobSpec restore = spec_of("db@latest", [](JobContext&) -> Result<json> { return json::object(); });
  restore.exclusive.clear();
  std::string last;
  for (std::size_t i = 0; i < kMaxWaitingJobs; ++i) {
    const auto taken = queue.submit(restore);
    ASSERT_TRUE(taken) << i;
    last = taken->id;
  }
  const auto refused = queue.submit(restore);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::too_many_requests);
  EXPECT_EQ(to_http_status(refused.error()), 429);
  EXPECT_TRUE(queue.submit(spec_of("db", until_stopped))) << "a backup is not held up by them";
  ASSERT_TRUE(queue.cancel(last));
  EXPECT_TRUE(queue.submit(restore)) << "there is room again";
}

TEST_F(JobQueueTest, WarningsMakeItCompletedWithWarnings) {
  JobQueue queue(clock_, nullptr, {});
  const auto queued = queue.submit(spec_of("web", [](JobContext& job) -> Result<json> {
    job.warn("odd");
    return json::object();
  }));
  const JobRecord record = wait_for_end(queue, queued->id);
  EXPECT_EQ(record.state, JobState::completed_with_warnings);
  EXPECT_EQ(record.warnings, std::vector<std::string>{"odd"});
}

TEST_F(JobQueueTest, AnErrorOrAnExceptionMakesItFailed) {
  JobQueue queue(clock_, nullptr, {});
  const auto fails = queue.submit(
      spec_of("a", [](JobContext&) -> Result<json> { return fail(ErrorCode::image_missing, "back up", "a", "gone"); }));
  const auto throws =
      queue.submit(spec_of("b", [](JobContext&) -> Result<json> { throw std::runtime_error("surprise"); }));
  EXPECT_EQ(wait_for_end(queue, fails->id).error->code, ErrorCode::image_missing);
  const JobRecord record = wait_for_end(queue, throws->id);
  EXPECT_EQ(record.state, JobState::failed);
  EXPECT_EQ(record.error->code, ErrorCode::internal);
  EXPECT_EQ(record.error->because, "surprise");
}

TEST_F(JobQueueTest, WhatFollowsIsSubmittedInTheStepThatEndsTheJob) {
  JobQueue queue(clock_, nullptr, {});
  std::latch prune_may_end(1);
  JobSpec spec = spec_of("web", [](JobContext&) -> Result<json> { return json{{"new_bytes", 5}}; });
  spec.then = [&](const json& result) -> std::optional<JobSpec> {
    EXPECT_EQ(result["new_bytes"], 5);
    JobSpec prune = spec_of("prune web", [&](JobContext&) -> Result<json> {
      prune_may_end.wait();
      return json::object();
    });
    prune.kind = JobKind::prune;
    return prune;
  };
  const JobSpec again = spec;
  const JobRecord first = wait_for_end(queue, queue.submit(std::move(spec)).value().id);
  const json result = json::parse(first.result);
  EXPECT_EQ(result["new_bytes"], 5);
  const std::string id = result["prune"].get<std::string>();
  EXPECT_EQ(queue.job(id).value().kind, JobKind::prune) << "there as soon as the end is seen";
  // It still runs, so its key is taken.
  const JobRecord second = wait_for_end(queue, queue.submit(again).value().id);
  EXPECT_EQ(second.state, JobState::completed);
  EXPECT_EQ(json::parse(second.result)["prune"], nullptr);
  prune_may_end.count_down();
  EXPECT_EQ(wait_for_end(queue, id).state, JobState::completed);
}

TEST_F(JobQueueTest, NothingFollowsAFailedJobAndAnExceptionOfThenIsAWarning) {
  JobQueue queue(clock_, nullptr, {});
  JobSpec fails = spec_of("a", [](JobContext&) -> Result<json> { return fail(ErrorCode::image_missing, "x", "a"); });
  JobSpec works = spec_of("b", [](JobContext&) -> Result<json> { return json::object(); });
  fails.then = works.then = [](const json&) -> std::optional<JobSpec> { throw std::runtime_error("surprise"); };
  EXPECT_TRUE(wait_for_end(queue, queue.submit(std::move(fails)).value().id).warnings.empty());
  const JobRecord record = wait_for_end(queue, queue.submit(std::move(works)).value().id);
  EXPECT_EQ(record.state, JobState::completed_with_warnings);
  EXPECT_EQ(record.warnings, std::vector<std::string>{"what follows it was not started: surprise"});
  EXPECT_EQ(queue.jobs().size(), 2U);
}

TEST_F(JobQueueTest, WhatFollowsIsRefusedWhenAllEnds) {
  JobQueue queue(clock_, nullptr, {});
  JobSpec spec = spec_of("web", [](JobContext& job) -> Result<json> {
    (void)until_stopped(job);
    return json::object();
  });
  spec.then = [](const json&) -> std::optional<JobSpec> { return spec_of("prune web", until_stopped); };
  const auto queued = queue.submit(std::move(spec));
  wait_for_start(queue, queued->id);
  queue.stop();
  EXPECT_EQ(json::parse(queue.job(queued->id).value().result)["backup"], nullptr);
  EXPECT_EQ(queue.jobs().size(), 1U);
}

TEST_F(JobQueueTest, TakesOneJobAMachineAtATime) {
  JobQueue queue(clock_, nullptr, {});
  const auto first = queue.submit(spec_of("web", until_stopped));
  const auto second = queue.submit(spec_of("web", until_stopped));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::job_conflict);
  EXPECT_NE(second.error().because.find(first->id), std::string::npos);
  // All or none.
  std::vector<JobSpec> both;
  both.push_back(spec_of("db", until_stopped));
  both.push_back(spec_of("web", until_stopped));
  EXPECT_FALSE(queue.submit_all(std::move(both)));
  EXPECT_EQ(queue.jobs().size(), 1U);
  ASSERT_TRUE(queue.cancel(first->id));
  wait_for_end(queue, first->id);
  EXPECT_TRUE(queue.submit(spec_of("web", until_stopped)));
}

TEST_F(JobQueueTest, NeverRunsMoreThanItsBound) {
  JobQueueOptions options;
  options.max_jobs = 2;
  JobQueue queue(clock_, nullptr, options);
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i) {
    ids.push_back(queue
                      .submit(spec_of("m" + std::to_string(i),
                                      [&](JobContext&) -> Result<json> {
                                        const int now = ++running;
                                        for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
                                        }
                                        std::this_thread::yield();
                                        --running;
                                        return json::object();
                                      }))
                      ->id);
  }
  for (const std::string& id : ids) EXPECT_EQ(wait_for_end(queue, id).state, JobState::completed);
  EXPECT_LE(most, 2);
}

TEST_F(JobQueueTest, AJobBesideHoldsUpNoOtherAndOneRunsAtOnce) {
  JobQueueOptions options;
  options.max_jobs = 1;
  JobQueue queue(clock_, nullptr, options);
  const auto beside = [](const std::string& object) {
    JobSpec spec = spec_of(object, until_stopped);
    spec.beside = true;
    return spec;
  };
  const auto first = queue.submit(beside("verify"));
  wait_for_start(queue, first->id);
  const auto second = queue.submit(beside("another"));
  const auto backup = queue.submit(spec_of("web", until_stopped));
  wait_for_start(queue, backup->id);
  const auto waiting = queue.submit(spec_of("db", until_stopped));
  EXPECT_EQ(queue.job(second->id)->state, JobState::queued);
  EXPECT_EQ(queue.job(waiting->id)->state, JobState::queued);
  EXPECT_EQ(queue.counts().running, 2U);
  ASSERT_TRUE(queue.cancel(first->id));
  wait_for_start(queue, second->id);
  EXPECT_EQ(queue.job(waiting->id)->state, JobState::queued) << "its place was none of theirs";
  ASSERT_TRUE(queue.cancel(backup->id));
  wait_for_start(queue, waiting->id);
}

TEST_F(JobQueueTest, TwoJobsReallyRunAtOnce) {
  JobQueue queue(clock_, nullptr, {});
  std::latch both(2);
  const auto meet = [&](JobContext&) -> Result<json> {
    both.arrive_and_wait();
    return json::object();
  };
  const auto a = queue.submit(spec_of("a", meet));
  const auto b = queue.submit(spec_of("b", meet));
  EXPECT_EQ(wait_for_end(queue, a->id).state, JobState::completed);
  EXPECT_EQ(wait_for_end(queue, b->id).state, JobState::completed);
}

TEST_F(JobQueueTest, MoreMayRunAfterTheBoundWasRaised) {
  JobQueueOptions options;
  options.max_jobs = 1;
  JobQueue queue(clock_, nullptr, options);
  const auto first = queue.submit(spec_of("a", until_stopped));
  wait_for_start(queue, first->id);
  const auto second = queue.submit(spec_of("b", [](JobContext&) -> Result<json> { return json::object(); }));
  EXPECT_EQ(queue.job(second->id)->state, JobState::queued);
  queue.set_max_jobs(2);
  EXPECT_EQ(wait_for_end(queue, second->id).state, JobState::completed);
}

TEST_F(JobQueueTest, CancelsAQueuedJobAtOnceAndARunningOneThroughItsToken) {
  JobQueueOptions options;
  options.max_jobs = 1;
  JobQueue queue(clock_, nullptr, options);
  const auto running = queue.submit(spec_of("a", until_stopped));
  wait_for_start(queue, running->id);
  const auto waiting = queue.submit(spec_of("b", until_stopped));
  EXPECT_EQ(queue.cancel(waiting->id)->state, JobState::cancelled);
  EXPECT_EQ(queue.job(running->id)->state, JobState::in_progress);
  ASSERT_TRUE(queue.cancel(running->id));
  const JobRecord record = wait_for_end(queue, running->id);
  EXPECT_EQ(record.state, JobState::cancelled);
  EXPECT_EQ(record.error->code, ErrorCode::cancelled);
  EXPECT_EQ(queue.cancel(running->id)->state, JobState::cancelled) << "an ended job stays as it is";
  EXPECT_EQ(queue.cancel("none").error().code, ErrorCode::no_such_job);
}

TEST_F(JobQueueTest, StopCancelsEverythingAndTakesNothingMore) {
  JobQueueOptions options;
  options.max_jobs = 1;
  std::atomic<int> ends = 0;
  options.on_end = [&](const JobRecord& record) {
    EXPECT_EQ(record.error->code, ErrorCode::shutting_down);
    ++ends;
  };
  JobQueue queue(clock_, nullptr, options);
  const auto running = queue.submit(spec_of("a", until_stopped));
  wait_for_start(queue, running->id);
  const auto waiting = queue.submit(spec_of("b", until_stopped));
  queue.stop();
  queue.stop();
  EXPECT_EQ(queue.job(running->id)->state, JobState::cancelled);
  EXPECT_EQ(queue.job(waiting->id)->state, JobState::cancelled);
  EXPECT_EQ(ends, 2);
  EXPECT_EQ(queue.submit(spec_of("c", until_stopped)).error().code, ErrorCode::shutting_down);
}

TEST_F(JobQueueTest, StopWakesWhoeverWaits) {
  JobQueue queue(clock_, nullptr, {});
  const auto queued = queue.submit(spec_of("a", until_stopped));
  const JobRecord started = wait_for_start(queue, queued->id);
  JobRecord seen = started;
  std::thread waiter([&] { seen = queue.wait(queued->id, started.revision, kLong).value(); });
  queue.stop();
  waiter.join();
  EXPECT_EQ(seen.state, JobState::cancelled) << "it hears how the job ended, not that the queue is stopping";
  ASSERT_TRUE(seen.error);
  EXPECT_EQ(seen.error->code, ErrorCode::shutting_down);
}

TEST_F(JobQueueTest, OutlivesAnExceptionAfterAJob) {
  JobQueueOptions options;
  options.max_jobs = 1;
  options.on_end = [](const JobRecord&) { throw std::bad_alloc(); };
  JobQueue queue(clock_, nullptr, options);
  for (int i = 0; i < 2; ++i) {
    const auto queued = queue.submit(spec_of("a", [](JobContext&) -> Result<json> { return json::object(); }));
    ASSERT_TRUE(queued);
    EXPECT_EQ(wait_for_end(queue, queued->id).state, JobState::completed);
  }
  const auto running = queue.submit(spec_of("b", until_stopped));
  queue.cancel(running->id).value();
  EXPECT_EQ(wait_for_end(queue, running->id).state, JobState::cancelled);
}

TEST_F(JobQueueTest, ForgetsOldEndedJobsButNeverRunningOnes) {
  JobQueueOptions options;
  options.keep_ended = 3;
  JobQueue queue(clock_, nullptr, options);
  const auto running = queue.submit(spec_of("long", until_stopped));
  std::string last;
  for (int i = 0; i < 8; ++i) {
    last = queue.submit(spec_of("m", [](JobContext&) -> Result<json> { return json::object(); }))->id;
    wait_for_end(queue, last);
  }
  EXPECT_EQ(queue.jobs().size(), 4U);
  EXPECT_TRUE(queue.job(running->id));
  EXPECT_TRUE(queue.job(last));
}

TEST_F(JobQueueTest, WritesEveryJobDown) {
  const TemporaryDirectory directory;
  const auto journal = value_of(Journal::open(directory.path() / "journal.db"));
  std::string id;
  {
    JobQueue queue(clock_, journal.get(), {});
    id = queue.submit(spec_of("web", until_stopped))->id;
    wait_for_start(queue, id);
    const auto while_running = value_of(journal->job(id));
    ASSERT_TRUE(while_running);
    EXPECT_FALSE(has_ended(while_running->state));
  }
  EXPECT_EQ(value_of(journal->job(id))->state, JobState::cancelled);
}

}  // namespace
}  // namespace cairn
