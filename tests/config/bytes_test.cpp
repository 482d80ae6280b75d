// SPDX-License-Identifier: GPL-3.0-or-later
// Bytes: little-endian integers, zero detection, hexadecimal.
#include "config/base/bytes.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(Bytes, PutsIntegersLeastByteFirst) {
  Buffer to;
  append_le<std::uint32_t>(to, 0x01020304);
  append_le<std::uint16_t>(to, 0xA0B0);
  EXPECT_EQ(to, (Buffer{4, 3, 2, 1, 0xB0, 0xA0}));
}

TEST(Bytes, GetsBackWhatItPut) {
  for (const std::uint64_t value : {0ULL, 1ULL, 0x8000000000000000ULL, 0xFFFFFFFFFFFFFFFFULL, 0x0123456789ABCDEFULL}) {
    Buffer to;
    append_le(to, value);
    ASSERT_EQ(to.size(), 8U);
    EXPECT_EQ(get_le<std::uint64_t>(to), value);
  }
}

TEST(Bytes, FindsTheOneByteThatIsNotZeroAtEveryPlace) {
  Buffer bytes(300);
  EXPECT_TRUE(is_all_zero(bytes));
  EXPECT_TRUE(is_all_zero({}));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = 0x80;
    EXPECT_FALSE(is_all_zero(bytes)) << i;
    EXPECT_FALSE(is_all_zero(ByteView(bytes).subspan(i))) << i;
    EXPECT_TRUE(is_all_zero(ByteView(bytes).first(i))) << i;
    EXPECT_TRUE(is_all_zero(ByteView(bytes).subspan(i + 1))) << i;
    bytes[i] = 0;
  }
}

TEST(Bytes, WritesAndReadsHexadecimal) {
  const Buffer bytes{0x00, 0x7F, 0x80, 0xFF, 0x0A};
  EXPECT_EQ(to_hex(bytes), "007f80ff0a");
  EXPECT_EQ(from_hex("007f80FF0A"), bytes);
  EXPECT_EQ(from_hex(""), Buffer{});
}

TEST(Bytes, RefusesTextThatIsNotHexadecimal) {
  for (const char* text : {"0", "0g", "g0", " 00", "00 ", "0x00", "-1", "+1"}) EXPECT_FALSE(from_hex(text)) << text;
}

}  // namespace
}  // namespace cairn
