// SPDX-License-Identifier: GPL-3.0-or-later
// The progress line.
#include "daemon/cli/text/progress.h"

#include <gtest/gtest.h>

#include "config/base/units.h"

using namespace std::chrono_literals;

namespace cairn::cli {
namespace {

TEST(ProgressLine, ShowsPercentSizeRateAndTimeLeft) {
  ProgressFacts facts;
  facts.object = "web-01";
  facts.done_bytes = 1 * kGiB;
  facts.total_bytes = 4 * kGiB;
  facts.bytes_per_second = 512.0 * kMiB;
  EXPECT_EQ(progress_line(facts), "web-01  25 %  1.00 GiB of 4.00 GiB  512 MiB/s  0:06 left");
}

TEST(ProgressLine, IsAHundredOnlyWhenAllIsDone) {
  ProgressFacts facts;
  facts.object = "m";
  facts.total_bytes = 1 * kTiB;
  facts.done_bytes = facts.total_bytes - 1;
  EXPECT_NE(progress_line(facts).find("99 %"), std::string::npos);
  facts.done_bytes = facts.total_bytes;
  EXPECT_NE(progress_line(facts).find("100 %"), std::string::npos);
  facts.done_bytes = facts.total_bytes + 5;  // an image that grew
  EXPECT_NE(progress_line(facts).find("100 %"), std::string::npos);
}

TEST(ProgressLine, LeavesOutWhatIsNotKnown) {
  ProgressFacts facts;
  facts.object = "m";
  EXPECT_EQ(progress_line(facts), "m  starting");
  facts.total_bytes = 2048;
  facts.done_bytes = 1024;
  EXPECT_EQ(progress_line(facts), "m  50 %  1.00 KiB of 2.00 KiB");
}

TEST(ProgressLine, CountsJobsAndSaysThatItStops) {
  ProgressFacts facts;
  facts.object = "m";
  facts.job = 2;
  facts.jobs = 5;
  EXPECT_EQ(progress_line(facts), "m (2 of 5)  starting");
  facts.cancelling = true;
  EXPECT_NE(progress_line(facts).find("stopping"), std::string::npos);
}

TEST(ProgressLine, LongTimesHaveHours) {
  ProgressFacts facts;
  facts.object = "m";
  facts.total_bytes = 3725 * 1000;
  facts.bytes_per_second = 1000;
  EXPECT_NE(progress_line(facts).find("1:02:05 left"), std::string::npos);
  facts.total_bytes = 4ULL * kTiB;
  EXPECT_NE(progress_line(facts).find("days left"), std::string::npos);
}

TEST(RateMeter, AveragesOverTheLastSeconds) {
  RateMeter meter;
  const RateMeter::Time start{};
  EXPECT_EQ(meter.bytes_per_second(), 0);
  for (int i = 0; i <= 20; ++i) meter.add(start + i * 1s, static_cast<std::uint64_t>(i) * 100);
  EXPECT_DOUBLE_EQ(meter.bytes_per_second(), 100);
  for (int i = 21; i <= 40; ++i) meter.add(start + i * 1s, 2000 + static_cast<std::uint64_t>(i - 20) * 500);
  EXPECT_DOUBLE_EQ(meter.bytes_per_second(), 500);
}

TEST(RateMeter, SaysNothingTooEarlyAndStartsAgainWithAnotherJob) {
  RateMeter meter;
  const RateMeter::Time start{};
  meter.add(start, 0);
  meter.add(start + 100ms, 1000);
  EXPECT_EQ(meter.bytes_per_second(), 0);
  meter.add(start + 1s, 10'000);
  EXPECT_GT(meter.bytes_per_second(), 0);
  meter.add(start + 2s, 10);
  EXPECT_EQ(meter.bytes_per_second(), 0);
}

}  // namespace
}  // namespace cairn::cli
