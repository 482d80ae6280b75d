// SPDX-License-Identifier: GPL-3.0-or-later
// Units: sizes and durations as users write and read them.
#include "config/base/units.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

using std::chrono::seconds;

TEST(Units, ReadsSizes) {
  EXPECT_EQ(parse_size("4096"), 4096U);
  EXPECT_EQ(parse_size("0"), 0U);
  EXPECT_EQ(parse_size("64KiB"), 64 * kKiB);
  EXPECT_EQ(parse_size("4 MiB"), 4 * kMiB);
  EXPECT_EQ(parse_size("3GiB"), 3 * kGiB);
  EXPECT_EQ(parse_size("2TiB"), 2 * kTiB);
  EXPECT_EQ(parse_size("18446744073709551615"), 18446744073709551615ULL);
}

TEST(Units, RefusesWhatIsNoSizeOrTooLarge) {
  for (const char* text : {"", "KiB", "-1", "+1", "1KB", "1kib", "1.5GiB", "1  KiB", " 1KiB", "1KiB ", "0x10",
                           "16777216TiB", "18446744073709551616"})
    EXPECT_FALSE(parse_size(text)) << text;
  EXPECT_TRUE(parse_size("16777215TiB"));
}

TEST(Units, WritesSizesWithThreeDigits) {
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(1023), "1023 B");
  EXPECT_EQ(format_size(1024), "1.00 KiB");
  EXPECT_EQ(format_size(64 * kKiB), "64.0 KiB");
  EXPECT_EQ(format_size(5 * kGiB / 2), "2.50 GiB");
  EXPECT_EQ(format_size(999 * kMiB), "999 MiB");
  EXPECT_EQ(format_size(1000 * kMiB), "0.98 GiB");
  EXPECT_EQ(format_size(kTiB), "1.00 TiB");
  EXPECT_EQ(format_size(18446744073709551615ULL), "16.0 EiB");
}

TEST(Units, ReadsDurations) {
  EXPECT_EQ(parse_duration("90s"), seconds{90});
  EXPECT_EQ(parse_duration("10m"), seconds{600});
  EXPECT_EQ(parse_duration("6h"), seconds{21600});
  EXPECT_EQ(parse_duration("14d"), seconds{14 * 86400});
  EXPECT_EQ(parse_duration("2w"), seconds{14 * 86400});
  EXPECT_EQ(parse_duration("0s"), seconds{0});
}

TEST(Units, RefusesDurationsWithoutUnitOrBeyondACentury) {
  for (const char* text : {"", "10", "h", "-1h", "1.5h", "1H", "1month", "1h30m", "9999999999999999999s", "40000d"})
    EXPECT_FALSE(parse_duration(text)) << text;
}

TEST(Units, WritesDurationsWithTheLargestUnitThatDivides) {
  EXPECT_EQ(format_duration(seconds{0}), "0s");
  EXPECT_EQ(format_duration(seconds{90}), "90s");
  EXPECT_EQ(format_duration(seconds{3600}), "1h");
  EXPECT_EQ(format_duration(seconds{86400}), "1d");
  EXPECT_EQ(format_duration(seconds{14 * 86400}), "2w");
  for (const char* text : {"1s", "59m", "23h", "6d", "52w"}) EXPECT_EQ(format_duration(*parse_duration(text)), text);
}

TEST(ByteUnits, DoNotStandForEachOther) {
  static_assert(!std::is_convertible_v<ByteOffset, ByteCount> && !std::is_constructible_v<ByteCount, ByteOffset>);
  static_assert(!std::is_convertible_v<std::uint64_t, ByteOffset> && !std::is_convertible_v<std::uint64_t, ByteCount>);
  static_assert(sizeof(ByteOffset) == sizeof(std::uint64_t) && std::is_trivially_copyable_v<ByteOffset>);
  constexpr ByteOffset at(4096);
  static_assert((at + ByteCount(512)).from_start() == 4608);
  static_assert(distance(at, ByteOffset(5000)) == ByteCount(904));
  static_assert(end_of(bytes_before(at)) == at);
}

}  // namespace
}  // namespace cairn
