// SPDX-License-Identifier: GPL-3.0-or-later
// Typed reading of one map of the settings file: each value is taken by its key, checked, and every problem recorded
// with its place; keys that nobody took are problems too. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/cron.h"
#include "config/settings.h"
#include "config/yaml_reader.h"

namespace cairn {

// Where problems are collected.
class ProblemList {
 public:
  explicit ProblemList(std::vector<SettingsProblem> problems) : problems_(std::move(problems)) {}
  void add(YamlPosition at, std::string key, std::string found, std::string expected);
  // In the file's order.
  [[nodiscard]] std::vector<SettingsProblem> take() &&;
  [[nodiscard]] bool empty() const { return problems_.empty(); }

 private:
  std::vector<SettingsProblem> problems_;
};

// "a list", "a map", "nothing", or the text in quotes: for "found ...".
std::string describe(const YamlNode& node);

// `; did you mean "x"?` when a name is near, else nothing: ends an "expected ...".
std::string did_you_mean(std::string_view wanted, std::span<const std::string> names);

// Words of a command line with the shell's quotes and backslashes. What only a shell can do (pipes, variables,
// globs) is refused: nothing here expands it.
std::expected<std::vector<std::string>, TextProblem> split_command(std::string_view text);

struct DurationLimits {
  std::chrono::seconds lowest;
  std::chrono::seconds highest;
  std::string_view expected;
};

class MapReader {
 public:
  // `node` must outlive this; nullptr or a null reads as an empty map, anything else but a map is a problem.
  // `at`: where problems of the map as a whole, such as a missing key, are shown. `directory`: what paths are relative
  // to.
  MapReader(ProblemList& problems, const YamlNode* node, YamlPosition at, std::string path,
            const std::filesystem::path& directory);

  // The entry of a key, which is now known; nullptr when it is not there.
  const YamlEntry* take(std::string_view key);
  // Nested maps: their reader, and their entries with free names.
  MapReader map(std::string_view key);
  [[nodiscard]] MapReader map(const YamlEntry& entry) const;
  // All entries, as names that the user chose; reports names that break the rule for names.
  const std::vector<YamlEntry>& named_entries(std::string_view kind);

  // Each gives nothing when the key is not there, and when the value is wrong, which is recorded.
  std::optional<std::filesystem::path> path(std::string_view key);
  // A path, or a list of them; empty: it is not there, or wrong.
  std::vector<std::filesystem::path> paths(std::string_view key);
  std::optional<std::string> text(std::string_view key, std::string_view expected);
  std::optional<bool> boolean(std::string_view key);
  std::optional<unsigned> number(std::string_view key, unsigned lowest, unsigned highest);
  std::optional<std::size_t> choice(std::string_view key, std::span<const std::string> names);  // the index
  std::optional<std::vector<std::string>> command(std::string_view key);
  std::optional<std::chrono::seconds> duration(std::string_view key, const DurationLimits& limits);
  // "off" is the inner nothing.
  std::optional<std::optional<std::chrono::seconds>> duration_or_off(std::string_view key,
                                                                     const DurationLimits& limits);

  // Bytes; "off" is the inner nothing. `expected` is what a problem says, without "off".
  std::optional<std::optional<std::uint64_t>> size_or_off(std::string_view key, std::uint64_t lowest,
                                                          std::uint64_t highest, std::string_view expected);

  void problem(const YamlEntry& entry, std::string found, std::string expected);  // at its value
  void key_problem(const YamlEntry& entry, std::string found, std::string expected);
  void missing(std::string_view key, std::string expected);
  // Reports the keys that were never taken. Call once, after the last take.
  void finish();

  [[nodiscard]] std::string key_path(std::string_view key) const;
  [[nodiscard]] YamlPosition at() const { return at_; }
  [[nodiscard]] bool is_absent() const { return node_ == nullptr; }
  // False after a value of another kind stood in the map's place: what is missing in it is not worth a word.
  [[nodiscard]] bool is_readable() const { return readable_; }
  [[nodiscard]] ProblemList& problems() { return problems_; }

 private:
  // What `node`, which stands in `entry`, says; nothing: it is no path, and a problem was added.
  std::optional<std::filesystem::path> path_in(const YamlEntry& entry, const YamlNode& node);
  // The value as a scalar's text; records a problem for anything else.
  const YamlNode* scalar(const YamlEntry& entry, std::string_view expected);
  std::optional<std::chrono::seconds> checked_duration(const YamlEntry& entry, const DurationLimits& limits,
                                                       std::string_view expected);

  ProblemList& problems_;
  const YamlNode* node_;
  YamlPosition at_;
  std::string path_;
  const std::filesystem::path& directory_;
  bool readable_ = true;
  std::vector<std::string> known_;
};

}  // namespace cairn
