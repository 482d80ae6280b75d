// SPDX-License-Identifier: GPL-3.0-or-later
// Tables and sizes of things as text: columns as wide as their widest cell, two spaces between. Pure. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/clock.h"

namespace cairn::cli {

enum class Align { left, right };
// What a column does on a screen that the table is too wide for: whole: nothing; drop: it is left out (the last such
// one first), and a line below says so; shorten: its cells are cut, "…".
enum class Fit { whole, drop, shorten };

class Table {
 public:
  struct Column {
    std::string title;
    Align align = Align::left;
    Fit fit = Fit::whole;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // As many cells as there are columns; an empty one shows as "-".
  void add(std::vector<std::string> cells);
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  // One line for the titles, one a row; no blanks at the ends of lines. Widths count UTF-8 characters. It fits the
  // screen (daemon/cli/text/screen.h) where its columns let it.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] std::string text(std::size_t width) const;  // 0: as wide as it is

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "label:  value" lines, values aligned; lines with an empty value are left out.
std::string fact_lines(const std::vector<std::pair<std::string, std::string>>& facts);

// What comes from outside may hold anything: control characters become "?", so that they cannot drive the terminal.
// Line breaks stay where `keep_lines` says so.
enum class Lines { keep, replace };
std::string printable(std::string_view text, Lines lines = Lines::replace);

// "1 point", "0 points".
std::string count_of(std::uint64_t number, std::string_view noun);

// "12 s", "5 min", "3 h", "2 d": how long ago, or how soon; the largest unit that is at least one.
std::string format_age(std::chrono::seconds age);
// "850 ms", "3.2 s", "2:05 min", "1:02:05 h".
std::string format_took(std::chrono::milliseconds took);

}  // namespace cairn::cli
