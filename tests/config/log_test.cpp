// SPDX-License-Identifier: GPL-3.0-or-later
// Logs: one event a line, whatever the values hold.
#include "config/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace cairn {
namespace {

using testing::HasSubstr;

class Log : public testing::Test {
 protected:
  Log() { redirect_log(&lines_); }
  ~Log() override { redirect_log(nullptr); }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  std::string lines_;
};

TEST_F(Log, WritesVerbObjectAndFields) {
  log_event(LogLevel::info, "backup-completed", "web-01@20261121T020000Z", {{"new_bytes", 4096}, {"proof", "proved"}});
  EXPECT_EQ(lines_, "backup-completed web-01@20261121T020000Z new_bytes=4096 proof=proved\n");
}

TEST_F(Log, KeepsAHostileValueInOneLine) {
  log_event(LogLevel::warning, "disk-skipped", "a\nb", {{"why", "line\nline\x1b[31m\t\"q\" \\ \x7f"}});
  EXPECT_EQ(std::ranges::count(lines_, '\n'), 1);
  EXPECT_EQ(lines_, "disk-skipped \"a\\nb\" why=\"line\\nline\\x1b[31m\\x09\\\"q\\\" \\\\ \\x7f\"\n");
}

TEST_F(Log, QuotesWhatWouldBeMisread) {
  log_event(LogLevel::info, "v", "o", {{"empty", ""}, {"spaced", "a b"}, {"equals", "a=b"}, {"plain", "a-b/c.d"}});
  EXPECT_EQ(lines_, "v o empty=\"\" spaced=\"a b\" equals=\"a=b\" plain=a-b/c.d\n");
}

TEST_F(Log, TakesBracesAsTheyAre) {
  log_event(LogLevel::info, "v", "{}", {{"format", "{0} %s"}});
  EXPECT_EQ(lines_, "v {} format=\"{0} %s\"\n");
}

TEST_F(Log, NamesTheError) {
  log_error("backup-failed", "web-01", Error{ErrorCode::no_space, "write pack", "/srv/s", {}, 0, {}});
  EXPECT_THAT(lines_, HasSubstr("backup-failed web-01 error=no-space message=\"cannot write pack /srv/s: "));
}

}  // namespace
}  // namespace cairn
