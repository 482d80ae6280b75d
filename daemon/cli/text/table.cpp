// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/text/table.h"

#include <fmt/format.h>

#include <algorithm>

#include "config/base/result.h"
#include "daemon/cli/text/screen.h"

namespace cairn::cli {
void Table::add(std::vector<std::string> cells) {
  CAIRN_ASSERT(cells.size() == columns_.size());
  for (std::string& cell : cells) cell = cell.empty() ? "-" : printable(cell);
  rows_.push_back(std::move(cells));
}

namespace {

constexpr std::size_t kGap = 2;        // blanks between columns
constexpr std::size_t kLeastCell = 8;  // a cell is not cut below that

std::size_t line_width(const std::vector<std::size_t>& shown, const std::vector<std::size_t>& widths) {
  std::size_t width = 0;
  for (const std::size_t column : shown) width += widths[column] + (width == 0 ? 0 : kGap);
  return width;
}

}  // namespace

std::string Table::text() const {
  return text(screen().width);
}

std::string Table::text(std::size_t width) const {
  std::vector<std::size_t> widths;
  std::vector<std::size_t> shown;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t widest = width_of(columns_[i].title);
    for (const auto& row : rows_) widest = std::max(widest, width_of(row[i]));
    widths.push_back(widest);
    shown.push_back(i);
  }
  std::string left_out;
  for (std::size_t i = columns_.size(); width != 0 && i-- > 0 && line_width(shown, widths) > width;) {
    if (columns_[i].fit != Fit::drop) continue;
    std::erase(shown, i);
    left_out = left_out.empty() ? columns_[i].title : columns_[i].title + ", " + left_out;
  }
  for (std::size_t i = columns_.size(); width != 0 && i-- > 0;) {
    const std::size_t now = line_width(shown, widths);
    if (now <= width) break;
    if (columns_[i].fit != Fit::shorten) continue;
    const std::size_t least = std::min(widths[i], std::max(kLeastCell, width_of(columns_[i].title)));
    widths[i] -= std::min(now - width, widths[i] - least);
  }
  std::string all;
  const auto add_line = [&](auto&& cell_of) {
    std::string line;
    for (const std::size_t i : shown) {
      const std::string cell = shortened(cell_of(i), widths[i]);
      const std::string blanks(widths[i] - width_of(cell), ' ');
      if (i != shown.front()) line.append(kGap, ' ');
      line += columns_[i].align == Align::right ? blanks + cell : cell + blanks;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    all += line + "\n";
  };
  add_line([&](std::size_t i) -> const std::string& { return columns_[i].title; });
  for (const auto& row : rows_) add_line([&](std::size_t i) -> const std::string& { return row[i]; });
  if (!left_out.empty()) all += "(no room for " + left_out + "; --json has everything)\n";
  return all;
}

std::string fact_lines(const std::vector<std::pair<std::string, std::string>>& facts) {
  std::size_t widest = 0;
  for (const auto& [label, value] : facts)
    if (!value.empty()) widest = std::max(widest, label.size());
  std::string all;
  for (const auto& [label, value] : facts)
    if (!value.empty()) all += label + ":" + std::string(widest - label.size() + 2, ' ') + printable(value) + "\n";
  return all;
}

std::string printable(std::string_view text, Lines lines) {
  std::string safe(text);
  for (char& c : safe) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && !(c == '\n' && lines == Lines::keep)) || byte == 0x7f) c = '?';
  }
  return safe;
}

std::string count_of(std::uint64_t number, std::string_view noun) {
  return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
}

std::string format_age(std::chrono::seconds age) {
  const long long seconds = std::max<long long>(0, age.count());
  if (seconds < 60) return fmt::format("{} s", seconds);
  if (seconds < 3600) return fmt::format("{} min", seconds / 60);
  if (seconds < 48 * 3600) return fmt::format("{} h", seconds / 3600);
  return fmt::format("{} d", seconds / 86400);
}

std::string format_took(std::chrono::milliseconds took) {
  const long long ms = std::max<long long>(0, took.count());
  if (ms < 1000) return fmt::format("{} ms", ms);
  if (ms < 60'000) return fmt::format("{}.{} s", ms / 1000, ms % 1000 / 100);
  const long long seconds = ms / 1000;
  if (seconds < 3600) return fmt::format("{}:{:02} min", seconds / 60, seconds % 60);
  return fmt::format("{}:{:02}:{:02} h", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

}  // namespace cairn::cli
