// SPDX-License-Identifier: GPL-3.0-or-later
// Tables, ages and what may reach a terminal.
#include "daemon/cli/text/table.h"

#include <gtest/gtest.h>

using namespace std::chrono_literals;

namespace cairn::cli {
namespace {

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
  Table table({{"NAME"}, {"SIZE", Align::right}, {"STATE"}});
  table.add({"a", "1 B", "ok"});
  table.add({"a-long-name", "1.00 GiB", ""});
  EXPECT_EQ(table.text(),
            "NAME             SIZE  STATE\n"
            "a                 1 B  ok\n"
            "a-long-name  1.00 GiB  -\n");
}

TEST(Table, CountsCharactersNotBytes) {
  Table table({{"N"}, {"S"}});
  table.add({"åäö", "x"});
  EXPECT_EQ(table.text(), "N    S\nåäö  x\n");
}

TEST(Table, ControlCharactersCannotDriveTheTerminal) {
  Table table({{"N"}});
  table.add({"a\x1b[2Jb\nc"});
  EXPECT_EQ(table.text(), "N\na?[2Jb?c\n");
  EXPECT_EQ(printable("a\nb\x7f", Lines::keep), "a\nb?");
}

TEST(FactLines, AlignsValuesAndLeavesOutEmptyOnes) {
  EXPECT_EQ(fact_lines({{"a", "1"}, {"longer", ""}, {"abc", "2"}}), "a:    1\nabc:  2\n");
}

TEST(FormatAge, UsesTheLargestUnit) {
  EXPECT_EQ(format_age(0s), "0 s");
  EXPECT_EQ(format_age(-5s), "0 s");
  EXPECT_EQ(format_age(59s), "59 s");
  EXPECT_EQ(format_age(60s), "1 min");
  EXPECT_EQ(format_age(3h), "3 h");
  EXPECT_EQ(format_age(47h), "47 h");
  EXPECT_EQ(format_age(48h), "2 d");
}

TEST(FormatTook, KeepsWhatMatters) {
  EXPECT_EQ(format_took(850ms), "850 ms");
  EXPECT_EQ(format_took(3250ms), "3.2 s");
  EXPECT_EQ(format_took(125s), "2:05 min");
  EXPECT_EQ(format_took(3725s), "1:02:05 h");
}

}  // namespace
}  // namespace cairn::cli
