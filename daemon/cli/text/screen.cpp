// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/text/screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>

namespace cairn::cli {
namespace {

Screen g_screen;

constexpr std::size_t kLeastWidth = 40;  // below that nothing fits anyway
constexpr std::string_view kRed = "\x1b[31m";
constexpr std::string_view kYellow = "\x1b[33m";
constexpr std::string_view kGreen = "\x1b[32m";
constexpr std::string_view kPlain = "\x1b[0m";

struct ColouredWord {
  std::string_view word;
  std::string_view colour;
};
constexpr std::array kWords = {ColouredWord{"warning:", kYellow}, ColouredWord{"CompletedWithWarnings", kYellow},
                               ColouredWord{"unknown", kYellow},  ColouredWord{"torn", kYellow},
                               ColouredWord{"suspect", kYellow},  ColouredWord{"unproved", kYellow},
                               ColouredWord{"overdue", kYellow},  ColouredWord{"error:", kRed},
                               ColouredWord{"Failed", kRed},      ColouredWord{"FAILED", kRed},
                               ColouredWord{"DAMAGED", kRed},     ColouredWord{"Cancelled", kRed},
                               ColouredWord{"Completed", kGreen}, ColouredWord{"proved", kGreen}};

bool is_blank_or_comma(char c) {
  return c == ' ' || c == ',' || c == '\n';
}

std::size_t columns_of(const char* text) {
  if (text == nullptr) return 0;
  std::size_t columns = 0;
  const auto [end, problem] = std::from_chars(text, text + std::strlen(text), columns);
  return problem == std::errc() && *end == '\0' ? columns : 0;
}

}  // namespace

Screen screen_of(int fd) {
  if (::isatty(fd) == 0) return {};
  Screen found;
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0) found.width = size.ws_col;
  if (found.width == 0) found.width = columns_of(std::getenv("COLUMNS"));
  if (found.width != 0) found.width = std::max(found.width, kLeastWidth);
  const char* const none = std::getenv("NO_COLOR");
  const char* const terminal = std::getenv("TERM");
  found.colour = (none == nullptr || *none == '\0') && terminal != nullptr && std::strcmp(terminal, "dumb") != 0;
  return found;
}

void use_screen(const Screen& screen) {
  g_screen = screen;
}

const Screen& screen() {
  return g_screen;
}

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string shortened(std::string_view text, std::size_t width) {
  if (width_of(text) <= width) return std::string(text);
  if (width == 0) return {};
  std::size_t end = 0;
  for (std::size_t columns = 0; end < text.size(); ++end) {
    if ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) continue;
    if (columns == width - 1) break;
    ++columns;
  }
  return std::string(text.substr(0, end)) + "…";
}

std::string wrapped(std::string_view text, std::size_t width) {
  if (width == 0) return std::string(text);
  std::string all;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const std::size_t indent = std::min(line.find_first_not_of(' '), line.size()) + 2;
    bool first = true;
    while (width_of(line) > (first ? width : width - std::min(width - 1, indent))) {
      const std::size_t room = first ? width : width - std::min(width - 1, indent);
      // The last blank that leaves at most `room` columns before it; else the first one there is.
      std::size_t at = std::string_view::npos;
      const std::size_t start = line.find_first_not_of(' ');
      for (std::size_t i = line.find(' ', start); i != std::string_view::npos; i = line.find(' ', i + 1)) {
        if (width_of(line.substr(0, i)) > room && at != std::string_view::npos) break;
        at = i;
      }
      if (at == std::string_view::npos) break;
      all.append(first ? 0 : indent, ' ').append(line.substr(0, at)).append("\n");
      line.remove_prefix(std::min(line.find_first_not_of(' ', at), line.size()));
      first = false;
      if (line.empty()) break;
    }
    if (first || !line.empty()) all.append(first ? 0 : indent, ' ').append(line);
    if (first || !line.empty()) {
      if (end != std::string_view::npos) all += '\n';
    }
  }
  return all;
}

std::string coloured(std::string_view text) {
  std::string all;
  for (std::size_t i = 0; i < text.size();) {
    const bool begins = i == 0 || is_blank_or_comma(text[i - 1]);
    const auto found = std::ranges::find_if(kWords, [&](const ColouredWord& candidate) {
      const std::size_t behind = i + candidate.word.size();
      return begins && text.substr(i).starts_with(candidate.word) &&
             (behind == text.size() || is_blank_or_comma(text[behind]));
    });
    if (found == kWords.end()) {
      all += text[i++];
      continue;
    }
    all.append(found->colour).append(found->word).append(kPlain);
    i += found->word.size();
  }
  return all;
}

}  // namespace cairn::cli
