// SPDX-License-Identifier: GPL-3.0-or-later
// The journal: rows come back as they were written, processes that are gone are noticed, damage is reported.
#include "daemon/queue/journal.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/daemon/manual_clock.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

JobRecord a_job(const std::string& id, JobState state = JobState::completed) {
  JobRecord record;
  record.id = id;
  record.object = "web-01";
  record.state = state;
  record.queued = utc("2026-11-21T02:00:00Z");
  record.started = utc("2026-11-21T02:00:01Z");
  return record;
}

class JournalTest : public testing::Test {
 protected:
  TemporaryDirectory directory_;
  const std::filesystem::path file_ = directory_.path() / "journal.db";
};

TEST_F(JournalTest, GivesBackAJobAsItWasWritten) {
  JobRecord record = a_job("one", JobState::completed_with_warnings);
  record.kind = JobKind::restore;
  record.trigger = JobTrigger::catch_up;
  record.ended = utc("2026-11-21T02:03:00Z");
  record.point = "web-01@20261121T020000Z";
  record.revision = 7;
  record.done_bytes = 10;
  record.total_bytes = 20;
  record.result = R"({"new_bytes":4096})";
  record.warnings = {"one \"odd\" thing"};
  record.error = Error{ErrorCode::no_space, "write pack in", "/srv/s", "", ENOSPC, "buy a disk"};
  value_of(Journal::open(file_))->save(record).value();
  const auto read = value_of(value_of(Journal::open(file_))->job("one"));
  ASSERT_TRUE(read);
  EXPECT_EQ(to_json(*read), to_json(record));
  EXPECT_EQ(read->error->message(), record.error->message());
  EXPECT_FALSE(*value_of(Journal::open(file_))->job("two"));
}

TEST_F(JournalTest, ListsTheNewestFirstAndNoMoreThanAsked) {
  const auto journal = value_of(Journal::open(file_));
  for (const char* id : {"a", "b", "c"}) expect_ok(journal->save(a_job(id)));
  expect_ok(journal->save(a_job("a")));  // an update does not make it newer
  const auto jobs = value_of(journal->jobs(2));
  ASSERT_EQ(jobs.size(), 2U);
  EXPECT_EQ(jobs[0].id, "c");
  EXPECT_EQ(jobs[1].id, "b");
  EXPECT_EQ(value_of(journal->last_job(JobKind::backup, "web-01"))->id, "c");
  EXPECT_FALSE(value_of(journal->last_job(JobKind::restore, "web-01")));
}

TEST_F(JournalTest, WhatHasEndedStaysEnded) {
  const auto journal = value_of(Journal::open(file_));
  expect_ok(journal->save(a_job("late", JobState::cancelled)));
  expect_ok(journal->save(a_job("late", JobState::queued)));  // written down late, by another thread
  EXPECT_EQ(value_of(journal->job("late"))->state, JobState::cancelled);
  EXPECT_TRUE(value_of(journal->end_interrupted(utc("2026-11-21T03:00:00Z"), [](const ProcessMark&) {
                return false;
              })).empty());
}

TEST_F(JournalTest, TrimsOnlyTheOldestEndedJobs) {
  const auto journal = value_of(Journal::open(file_));
  expect_ok(journal->save(a_job("running", JobState::in_progress)));
  for (int i = 0; i < 5; ++i) expect_ok(journal->save(a_job("job" + std::to_string(i))));
  expect_ok(journal->trim(2));
  const auto jobs = value_of(journal->jobs(100));
  ASSERT_EQ(jobs.size(), 3U);
  EXPECT_EQ(jobs[0].id, "job4");
  EXPECT_EQ(jobs[1].id, "job3");
  EXPECT_EQ(jobs[2].id, "running");
}

TEST_F(JournalTest, MarksTheJobsOfAKilledProcessAsInterrupted) {
  const pid_t child = fork();
  if (child == 0) {
    auto journal = Journal::open(file_);
    const bool done = journal && (*journal)->save(a_job("cut", JobState::in_progress)) &&
                      (*journal)->save(a_job("waiting", JobState::queued)) && (*journal)->save(a_job("done"));
    if (done) raise(SIGKILL);
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  const auto journal = value_of(Journal::open(file_));
  expect_ok(journal->save(a_job("mine", JobState::in_progress)));
  const auto interrupted = value_of(journal->end_interrupted(utc("2026-11-21T03:00:00Z")));
  ASSERT_EQ(interrupted.size(), 2U);
  const auto cut = value_of(journal->job("cut"));
  EXPECT_EQ(cut->state, JobState::failed);
  EXPECT_EQ(cut->error->name(), "interrupted");
  EXPECT_EQ(cut->ended, utc("2026-11-21T03:00:00Z"));
  EXPECT_EQ(value_of(journal->job("waiting"))->state, JobState::failed);
  EXPECT_EQ(value_of(journal->job("done"))->state, JobState::completed);
  EXPECT_EQ(value_of(journal->job("mine"))->state, JobState::in_progress) << "its process is alive";
  EXPECT_TRUE(value_of(journal->end_interrupted(utc("2026-11-21T04:00:00Z"))).empty());
}

TEST_F(JournalTest, ALaterProcessWithTheSameIdIsAnotherOne) {
  EXPECT_TRUE(is_running(this_process()));
  ProcessMark other = this_process();
  other.start_ticks += 1;
  EXPECT_FALSE(is_running(other));
}

TEST_F(JournalTest, KeepsScheduleMarks) {
  {
    const auto journal = value_of(Journal::open(file_));
    EXPECT_FALSE(value_of(journal->schedule_mark("web-01")));
    expect_ok(journal->set_schedule_mark("web-01", {utc("2026-11-21T02:00:00Z"), false, "@daily UTC"}));
    expect_ok(journal->set_schedule_mark("web-01", {utc("2026-11-22T02:00:00Z"), true, "0 2 * * * UTC"}));
  }
  const ScheduleMark expected{utc("2026-11-22T02:00:00Z"), true, "0 2 * * * UTC"};
  EXPECT_EQ(*value_of(value_of(Journal::open(file_))->schedule_mark("web-01")), expected);
}

TEST_F(JournalTest, RefusesAFileThatIsNoDatabase) {
  std::ofstream(file_) << std::string(8192, 'x');
  const auto journal = Journal::open(file_);
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, ErrorCode::journal_damaged);
  EXPECT_NE(journal.error().message().find(file_.string()), std::string::npos);
}

// Whoever may write to the state directory cannot have a database made elsewhere, nor the process wait for a pipe.
TEST_F(JournalTest, FollowsNoLinkAndWaitsForNoPipe) {
  namespace fs = std::filesystem;
  const TemporaryDirectory elsewhere;
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    const std::string name = file_.string() + suffix;
    for (const JournalMode mode : {JournalMode::read_write, JournalMode::read_only}) {
      fs::create_symlink(elsewhere.path() / "made", name);
      EXPECT_EQ(Journal::open(file_, mode).error().code, ErrorCode::wrong_file_type) << name;
      fs::remove(name);
      ASSERT_EQ(::mkfifo(name.c_str(), 0600), 0);
      EXPECT_EQ(Journal::open(file_, mode).error().code, ErrorCode::wrong_file_type) << name;
      fs::remove(name);
    }
  }
  EXPECT_TRUE(fs::is_empty(elsewhere.path()));
  fs::create_directory_symlink(directory_.path(), elsewhere.path() / "state");
  value_of(Journal::open(elsewhere.path() / "state" / "journal.db"));  // the way to it may have links
}

TEST_F(JournalTest, RefusesADatabaseWhosePagesAreDamaged) {
  {
    const auto journal = value_of(Journal::open(file_));
    for (int i = 0; i < 200; ++i) expect_ok(journal->save(a_job("job" + std::to_string(i))));
  }
  {
    std::fstream file(file_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096 * 3);
    file << std::string(std::size_t{4096} * 4, 'x');
  }
  const auto journal = Journal::open(file_);
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, ErrorCode::journal_damaged);
}

TEST_F(JournalTest, BringsAJournalOfVersion1UpToDate) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(file_.c_str(), &database), SQLITE_OK);
  ASSERT_EQ(
      sqlite3_exec(database,
                   "CREATE TABLE jobs (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT "
                   "NOT NULL, object TEXT NOT NULL, ended INTEGER NOT NULL, pid INTEGER NOT NULL, start_ticks "
                   "INTEGER NOT NULL, document TEXT NOT NULL);"
                   "CREATE TABLE schedules (machine TEXT PRIMARY KEY, handled INTEGER NOT NULL, owed INTEGER NOT "
                   "NULL); INSERT INTO schedules VALUES ('web', 1000, 1); PRAGMA user_version = 1",
                   nullptr, nullptr, nullptr),
      SQLITE_OK);
  sqlite3_close(database);
  for (int times = 0; times < 2; ++times) {
    const auto journal = value_of(Journal::open(file_));
    const ScheduleMark expected{UtcTime(std::chrono::seconds(1000)), true, ""};
    EXPECT_EQ(*value_of(journal->schedule_mark("web")), expected);
    expect_ok(journal->save(a_job("one")));
  }
}

TEST_F(JournalTest, RefusesANewerSchema) {
  value_of(Journal::open(file_)).reset();
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(file_.c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "PRAGMA user_version = 99", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  const auto journal = Journal::open(file_);
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, ErrorCode::journal_damaged);
  EXPECT_NE(journal.error().message().find("newer"), std::string::npos);
}

TEST_F(JournalTest, CanBeReadWhileAnotherConnectionWrites) {
  const auto writer = value_of(Journal::open(file_));
  const auto reader = value_of(Journal::open(file_, JournalMode::read_only));
  expect_ok(writer->save(a_job("one")));
  EXPECT_TRUE(value_of(reader->job("one")));
  EXPECT_FALSE(reader->save(a_job("two")));
}

}  // namespace
}  // namespace cairn
