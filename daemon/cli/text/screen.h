// SPDX-License-Identifier: GPL-3.0-or-later
// Screen: what standard output is shown on, and text laid out for it: tables fit its width, other lines are broken at
// words, and words that somebody should see have a colour. Nothing of that for a pipe or a file, and none of it in
// JSON. main() says once what the screen is; until then there is none.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cairn::cli {

struct Screen {
  std::size_t width = 0;  // columns; 0: no screen, lines may have any length
  bool colour = false;
};

// What `fd` is: the width of the terminal (or $COLUMNS); colour unless NO_COLOR (https://no-color.org) is set and not
// empty, or TERM is "dumb" or missing.
Screen screen_of(int fd);
// For the whole process; before other threads write.
void use_screen(const Screen& screen);
const Screen& screen();

// Columns that a text takes: characters, not bytes; continuation bytes of UTF-8 take none.
std::size_t width_of(std::string_view text);
// At most `width` columns: what is cut ends in "…".
std::string shortened(std::string_view text, std::size_t width);
// Lines longer than `width` are broken at blanks; what follows is indented as the line is, and by two. A word that is
// longer than that stays whole. 0: as it is.
std::string wrapped(std::string_view text, std::size_t width);
// Words such as "warning:", "Failed" and "DAMAGED" in their colours (ECMA-48 SGR).
std::string coloured(std::string_view text);

}  // namespace cairn::cli
