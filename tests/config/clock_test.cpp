// SPDX-License-Identifier: GPL-3.0-or-later
// Clock: times as they stand in point names and in JSON.
#include "config/base/clock.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

using std::chrono::seconds;

TEST(Clock, WritesBothForms) {
  const UtcTime time{seconds{1795226400}};  // date -u -d @1795226400
  EXPECT_EQ(compact_time(time), "20261121T020000Z");
  EXPECT_EQ(iso_time(time), "2026-11-21T02:00:00Z");
}

TEST(Clock, ReadsBackWhatItWrote) {
  for (const std::int64_t at : {0LL, 951782399LL, 951782400LL, 1795226399LL, 4102444800LL, -1LL}) {
    const UtcTime time{seconds{at}};
    EXPECT_EQ(parse_compact_time(compact_time(time)), time);
    EXPECT_EQ(parse_iso_time(iso_time(time)), time);
  }
}

TEST(Clock, RefusesTimesThatAreNot) {
  for (const char* text : {"", "20261121", "20261121T020000", "20261321T020000Z", "20260229T000000Z",
                           "20261121T240000Z", "20261121T006000Z", "20261121T000060Z", "2026112aT020000Z",
                           "20261121T020000Z ", "20261121t020000Z", "2026-11-21T02:00:00Z"})
    EXPECT_FALSE(parse_compact_time(text)) << text;
  for (const char* text : {"2026-11-21 02:00:00Z", "2026-11-21T02:00:00+00:00", "2026-02-29T00:00:00Z",
                           "2026-11-21T02:00:00.5Z", "20261121T020000Z"})
    EXPECT_FALSE(parse_iso_time(text)) << text;
}

TEST(Clock, KnowsLeapDays) {
  EXPECT_TRUE(parse_compact_time("20280229T000000Z"));
  EXPECT_FALSE(parse_compact_time("21000229T000000Z"));
  EXPECT_TRUE(parse_compact_time("20000229T000000Z"));
}

TEST(Clock, OfTheSystemIsInThisCentury) {
  EXPECT_GT(system_clock().now(), *parse_compact_time("20200101T000000Z"));
  EXPECT_LT(system_clock().now(), *parse_compact_time("21000101T000000Z"));
}

}  // namespace
}  // namespace cairn
