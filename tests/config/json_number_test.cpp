// SPDX-License-Identifier: GPL-3.0-or-later
#include "config/base/json_number.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

using nlohmann::json;

TEST(JsonNumber, TakesWhatTheTypeHolds) {
  EXPECT_EQ(whole_number<std::uint64_t>(json::parse("18446744073709551615")), UINT64_MAX);
  EXPECT_EQ(whole_number<std::int64_t>(json::parse("-9223372036854775808")), INT64_MIN);
  EXPECT_EQ(whole_number<int>(json(-5)), -5);
  EXPECT_EQ(whole_number<unsigned>(json(5)), 5U);  // signed in memory
}

TEST(JsonNumber, RefusesWhatWouldBeCutOrIsNoInteger) {
  // The first was found by fuzzing: as a float it is beyond every integer, which is undefined behaviour to convert.
  for (const char* text :
       {"9.865e+30", "18446744073709551616", "5.0", "-1", "4294967296", "\"5\"", "true", "null", "[]"})
    EXPECT_THROW(whole_number<std::uint32_t>(json::parse(text)), json::out_of_range) << text;
  EXPECT_THROW(whole_number<long>(json::parse("9223372036854775808")), json::out_of_range);
}

}  // namespace
}  // namespace cairn
