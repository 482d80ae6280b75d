// SPDX-License-Identifier: GPL-3.0-or-later
// Text laid out for a screen: nothing is lost, nothing is longer than the screen where it can be helped.
#include "daemon/cli/text/screen.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "daemon/cli/text/table.h"

namespace cairn::cli {
namespace {

TEST(Shortened, CutsCharactersNotBytes) {
  EXPECT_EQ(shortened("åäö", 3), "åäö");
  EXPECT_EQ(shortened("åäöx", 3), "åä…");
  EXPECT_EQ(shortened("abc", 1), "…");
  EXPECT_EQ(shortened("abc", 0), "");
}

TEST(Wrapped, BreaksLinesAtWords) {
  EXPECT_EQ(wrapped("one two three\nfour\n", 8), "one two\n  three\nfour\n");
  EXPECT_EQ(wrapped("  one two three\n", 9), "  one two\n    three\n");
  EXPECT_EQ(wrapped("short\n\nlines\n", 80), "short\n\nlines\n");
  EXPECT_EQ(wrapped("a line without an end that is long", 12), "a line\n  without an\n  end that\n  is long");
}

TEST(Wrapped, LeavesLongWordsWhole) {
  EXPECT_EQ(wrapped("see /srv/a/very/long/path here\n", 10), "see\n  /srv/a/very/long/path\n  here\n");
  EXPECT_EQ(wrapped("/srv/a/very/long/path\n", 10), "/srv/a/very/long/path\n");
}

TEST(Wrapped, WithoutAScreenNothingChanges) {
  const std::string text(500, 'x');
  EXPECT_EQ(wrapped(text + " y\n", 0), text + " y\n");
}

TEST(Coloured, MarksWholeWordsOnly) {
  EXPECT_EQ(coloured("warning: web\n"), "\x1b[33mwarning:\x1b[0m web\n");
  EXPECT_EQ(coloured("a  Failed"), "a  \x1b[31mFailed\x1b[0m");
  EXPECT_EQ(coloured("proved, DAMAGED"), "\x1b[32mproved\x1b[0m, \x1b[31mDAMAGED\x1b[0m");
  EXPECT_EQ(coloured("unproved-disk torn-1 xFailed"), "unproved-disk torn-1 xFailed");
}

Table a_table() {
  Table table(
      {{"NAME"}, {"POLICY", Align::left, Fit::drop}, {"SIZE", Align::right}, {"REMARK", Align::left, Fit::shorten}});
  table.add({"web-01", "nightly", "1 B", "nothing much to say here"});
  return table;
}

TEST(TableOnAScreen, IsWholeWhereThereIsRoom) {
  const std::string whole =
      "NAME    POLICY   SIZE  REMARK\n"
      "web-01  nightly   1 B  nothing much to say here\n";
  EXPECT_EQ(a_table().text(0), whole);
  EXPECT_EQ(a_table().text(47), whole);
}

TEST(TableOnAScreen, LeavesColumnsOutAndSaysSo) {
  EXPECT_EQ(a_table().text(46),
            "NAME    SIZE  REMARK\n"
            "web-01   1 B  nothing much to say here\n"
            "(no room for POLICY; --json has everything)\n");
}

TEST(TableOnAScreen, ThenCutsCells) {
  EXPECT_EQ(a_table().text(30),
            "NAME    SIZE  REMARK\n"
            "web-01   1 B  nothing much to…\n"
            "(no room for POLICY; --json has everything)\n");
  EXPECT_EQ(a_table().text(5),
            "NAME    SIZE  REMARK\n"
            "web-01   1 B  nothing…\n"
            "(no room for POLICY; --json has everything)\n")
      << "names stay whole";
}

TEST(ScreenOf, APipeIsNone) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(screen_of(ends[1]).width, 0U);
  EXPECT_FALSE(screen_of(ends[1]).colour);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace cairn::cli
