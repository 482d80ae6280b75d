// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/grammar/option_values.h"

#include <algorithm>

#include "config/base/units.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/key_label.h"

namespace cairn::cli {

Result<std::uint64_t> parse_rate(const std::string& text, const char* doing) {
  if (text.empty()) return std::uint64_t{0};
  const bool bare = std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  if (bare && text.find_first_not_of('0') != std::string::npos)
    return misuse(doing, "--rate \"" + text + "\" has no unit",
                  "give bytes a second, such as " + text + "MiB or " + text + "KiB");
  const auto rate = parse_size(text);
  if (rate && *rate != 0) return *rate;
  return misuse(doing, "--rate \"" + text + "\" is no size", "give bytes a second, such as 50MiB");
}

Result<std::size_t> parse_limit(const std::string& text, std::size_t most, const char* doing) {
  const bool digits = std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  if (!text.empty() && digits && text.size() <= 6 && std::stoul(text) >= 1 && std::stoul(text) <= most)
    return std::stoul(text);
  return misuse(doing, "--limit \"" + text + "\" is no number from 1 to " + std::to_string(most));
}

Result<UtcTime> parse_time(const std::string& text, const char* option, const char* doing) {
  const auto time = parse_iso_time(text.size() == 10 ? text + "T00:00:00Z" : text);
  if (time) return *time;
  return misuse(doing, std::string(option) + " \"" + text + "\" is no date",
                "write it like 2027-01-31 or 2027-01-31T12:00:00Z");
}

Result<std::string> parse_label(const std::string& text, const char* doing) {
  CAIRN_CHECK(check_key_label(doing, text));
  return text;
}

}  // namespace cairn::cli
