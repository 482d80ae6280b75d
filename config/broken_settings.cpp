// SPDX-License-Identifier: GPL-3.0-or-later
#include "config/broken_settings.h"

#include <fstream>
#include <string>
#include <string_view>

#include "config/settings.h"
#include "config/yaml_reader.h"

namespace cairn {
namespace {

// Less white space around it, a comment behind it and the quotes that stand around it.
std::string bare_value(std::string_view text) {
  const auto trimmed = [](std::string_view of) {
    const std::size_t first = of.find_first_not_of(" \t\r");
    return first == std::string_view::npos ? std::string_view()
                                           : of.substr(first, of.find_last_not_of(" \t\r") - first + 1);
  };
  text = trimmed(text.substr(0, text.find(" #")));
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front())
    text = text.substr(1, text.size() - 2);
  return std::string(text);
}

}  // namespace

std::filesystem::path socket_named_in(const std::filesystem::path& file) {
  static constexpr std::string_view kKey = "socket:";
  std::ifstream lines(file);
  std::size_t read = 0;
  for (std::string line; read <= kLargestSettingsFile && std::getline(lines, line); read += line.size() + 1) {
    if (!line.starts_with(kKey)) continue;
    const std::filesystem::path named = bare_value(std::string_view(line).substr(kKey.size()));
    if (named.empty()) break;
    return (std::filesystem::absolute(file).parent_path() / named).lexically_normal();
  }
  return Settings().socket;
}

}  // namespace cairn
