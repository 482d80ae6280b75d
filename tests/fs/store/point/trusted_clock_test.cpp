// SPDX-License-Identifier: GPL-3.0-or-later
// When the clock is believed.
#include "fs/store/point/trusted_clock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;

const UtcTime kStart = test_time();
const seconds kUp = hours(10);  // since boot, at kStart

ClockReading reading(seconds clock_later, seconds really_later) {
  return {kStart + clock_later, "boot-1", kUp + really_later};
}
ClockReading after_reboot(seconds clock_later, seconds up) {
  return {kStart + clock_later, "boot-2", up};
}
ClockRecord record(seconds doubtful = seconds(0)) {
  return {reading(seconds(0), seconds(0)), doubtful, {}};
}
ErrorCode code(const Result<ClockVerdict>& result) {
  return result ? ErrorCode::internal : result.error().code;
}

TEST(TrustedClock, IsBelievedWhenItWasNeverLookedAt) {
  const ClockVerdict verdict = value_of(judge_clock({}, reading(hours(1), hours(1)), kStart, false));
  EXPECT_EQ(verdict.trusted, kStart + hours(1));
  EXPECT_EQ(verdict.record.last.now, kStart + hours(1));
  EXPECT_EQ(verdict.record.doubtful, seconds(0));
}

TEST(TrustedClock, GoesOnWithTheTimeSinceBoot) {
  for (const seconds off : {seconds(0), seconds(2), seconds(-2), seconds(hours(1)), seconds(-hours(1))})
    EXPECT_TRUE(judge_clock(record(), reading(days(40) + off, days(40)), {}, false)) << off.count();
  for (const seconds off : {seconds(hours(1)) + seconds(1), -seconds(hours(1)) - seconds(1), seconds(days(400))})
    EXPECT_EQ(code(judge_clock(record(), reading(days(40) + off, days(40)), {}, false)), ErrorCode::clock_jumped);
}

TEST(TrustedClock, SaysFromWhenToWhenAndHowFar) {
  const auto ahead = judge_clock(record(), reading(days(400), hours(1)), {}, false);
  ASSERT_FALSE(ahead);
  for (const std::string& part : {iso_time(kStart), iso_time(kStart + days(400)), std::string("57w")})
    EXPECT_THAT(ahead.error().message(), HasSubstr(part));
  const auto back = judge_clock(record(), reading(-days(3), hours(1)), {}, false);
  ASSERT_FALSE(back);
  EXPECT_THAT(back.error().message(), HasSubstr("back by 3d"));
  const auto odd = judge_clock(record(), reading(-days(15 * 365 + 3) - seconds(77), hours(1)), {}, false);
  ASSERT_FALSE(odd);
  EXPECT_THAT(odd.error().message(), HasSubstr("back by 5478d"));
}

TEST(TrustedClock, AfterARebootMayHaveGoneAheadForTwoWeeksAndNeverBack) {
  EXPECT_EQ(value_of(judge_clock(record(), after_reboot(days(14), minutes(1)), {}, false)).trusted, kStart + days(14));
  EXPECT_EQ(code(judge_clock(record(), after_reboot(days(14) + seconds(1), minutes(1)), {}, false)),
            ErrorCode::clock_jumped);
  EXPECT_TRUE(judge_clock(record(), after_reboot(-minutes(59), minutes(1)), {}, false));
  EXPECT_EQ(code(judge_clock(record(), after_reboot(-minutes(61), minutes(1)), {}, false)), ErrorCode::clock_jumped);
}

TEST(TrustedClock, AcceptingAJumpMakesItDoubtfulSoThatImmutablePointsLastLonger) {
  const ClockVerdict verdict = value_of(judge_clock(record(), reading(days(400), days(1)), {}, true));
  EXPECT_EQ(verdict.record.last.now, kStart + days(400)) << "from here on it is right";
  EXPECT_EQ(verdict.trusted, kStart + days(1)) << "what has certainly passed";
  EXPECT_EQ(verdict.record.doubtful, days(399));
  // It stays so, look after look.
  const ClockReading next{kStart + days(401), "boot-1", kUp + days(2)};
  EXPECT_EQ(value_of(judge_clock(verdict.record, next, {}, false)).trusted, kStart + days(2));
}

TEST(TrustedClock, SettingItBackTakesTheDoubtAway) {
  const ClockVerdict ahead = value_of(judge_clock(record(), reading(days(400), days(1)), {}, true));
  const ClockReading right{kStart + days(2), "boot-1", kUp + days(2)};
  EXPECT_EQ(code(judge_clock(ahead.record, right, {}, false)), ErrorCode::clock_jumped);
  const ClockVerdict repaired = value_of(judge_clock(ahead.record, right, {}, true));
  EXPECT_EQ(repaired.trusted, kStart + days(2));
  EXPECT_EQ(repaired.record.doubtful, seconds(0));
}

TEST(TrustedClock, AfterARebootWhatIsAcceptedCountsFromTheBoot) {
  const ClockVerdict verdict = value_of(judge_clock(record(), after_reboot(days(60), hours(3)), {}, true));
  EXPECT_EQ(verdict.trusted, kStart + hours(3));
}

// What ran ahead a little again and again would add up.
TEST(TrustedClock, SmallStepsAheadDoNotShortenWhatIsImmutable) {
  ClockRecord kept = record();
  for (int step = 1; step <= 300; ++step) {
    const ClockVerdict verdict = value_of(judge_clock(kept, reading(minutes(50) * step, seconds(step)), {}, false));
    EXPECT_LE(verdict.trusted, kStart + seconds(step));
    kept = verdict.record;
  }
}

TEST(TrustedClock, APointFromTheFutureSaysThatItWentBack) {
  const auto refused = judge_clock({}, reading(seconds(0), seconds(0)), kStart + days(1), false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::clock_jumped);
  EXPECT_THAT(refused.error().message(), HasSubstr(iso_time(kStart + days(1))));
  EXPECT_TRUE(judge_clock({}, reading(seconds(0), seconds(0)), kStart + minutes(59), false));
  EXPECT_EQ(code(judge_clock(record(), after_reboot(hours(1), minutes(1)), kStart + days(1), false)),
            ErrorCode::clock_jumped);
  // In one boot the time since boot is the better witness.
  EXPECT_TRUE(judge_clock(record(), reading(hours(1), hours(1)), kStart + days(1), false));
}

TEST(TrustedClock, APointFromTheFutureIsAcceptedOnce) {
  const ClockVerdict accepted = value_of(judge_clock({}, reading(seconds(0), seconds(0)), kStart + days(300), true));
  EXPECT_TRUE(judge_clock(accepted.record, after_reboot(hours(1), minutes(1)), kStart + days(300), false));
  EXPECT_EQ(code(judge_clock(accepted.record, after_reboot(hours(1), minutes(1)), kStart + days(301), false)),
            ErrorCode::clock_jumped)
      << "this one is new";
}

TEST(TrustedClock, IsReadFromTheKernel) {
  const ClockReading first = read_clock(system_clock());
  const ClockReading second = read_clock(system_clock());
  EXPECT_EQ(first.boot_id.size(), 36U);
  EXPECT_EQ(first.boot_id, second.boot_id);
  EXPECT_GT(first.since_boot, seconds(0));
  EXPECT_GE(second.since_boot, first.since_boot);
}

TEST(TrustedClock, IsKeptInTheStoreAndADamagedRecordIsNoReasonToBelieve) {
  const TemporaryStore place;
  const auto store = place.open();
  EXPECT_FALSE(value_of(store->points().clock_record()));
  ClockRecord kept = record(minutes(7));
  kept.accepted_points = kStart + days(3);
  expect_ok(keep_clock(*value_of(begin_writing(*store, "test")), kept));
  const ClockRecord found = *value_of(store->points().clock_record());
  EXPECT_EQ(found.last.now, kStart);
  EXPECT_EQ(found.last.boot_id, "boot-1");
  EXPECT_EQ(found.last.since_boot, kUp);
  EXPECT_EQ(found.doubtful, minutes(7));
  EXPECT_EQ(found.accepted_points, kStart + days(3));
  EXPECT_EQ(value_of(store->points().check_clock(reading(hours(1), hours(1)), false)).trusted,
            kStart + hours(1) - minutes(7));

  std::ofstream(place.path() / "clock") << "rubbish";
  EXPECT_EQ(store->points().clock_record().error().code, ErrorCode::store_damaged);
  const auto refused = store->points().check_clock(reading(hours(1), hours(1)), false);
  EXPECT_EQ(code(refused), ErrorCode::clock_jumped);
  EXPECT_THAT(refused.error().message(), HasSubstr("cannot be read"));
  const ClockVerdict accepted = value_of(store->points().check_clock(reading(hours(1), hours(1)), true));
  expect_ok(keep_clock(*value_of(begin_writing(*store, "test")), accepted.record));
  EXPECT_TRUE(store->points().check_clock(reading(hours(2), hours(2)), false));
}

}  // namespace
}  // namespace cairn
