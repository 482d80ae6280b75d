// SPDX-License-Identifier: GPL-3.0-or-later
// Typed reading of settings. What each type takes: config/REFERENCE.md "Values".
#include "config/settings_fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "config/base/text.h"
#include "config/base/units.h"

namespace cairn {
namespace {

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
}

// YAML's plain words for true and false; a quoted "true" is a text.
std::optional<bool> as_boolean(const YamlNode& node) {
  if (node.quoted) return std::nullopt;
  const std::string word = lower_ascii(node.text);
  if (word == "true" || word == "yes" || word == "on") return true;
  if (word == "false" || word == "no" || word == "off") return false;
  return std::nullopt;
}

std::optional<unsigned> as_number(const YamlNode& node) {
  if (node.quoted || (node.text.size() > 1 && node.text.front() == '0')) return std::nullopt;  // 010: ten, or eight?
  unsigned number = 0;
  const char* const end = node.text.data() + node.text.size();
  const auto [rest, problem] = std::from_chars(node.text.data(), end, number);
  if (problem != std::errc{} || rest != end) return std::nullopt;
  return number;
}

bool is_number_like(const YamlNode& node) {
  return !node.quoted && !node.text.empty() && node.text.find_first_not_of("0123456789.+-") == std::string::npos &&
         node.text.find_first_of("0123456789") != std::string::npos;
}

}  // namespace

void ProblemList::add(YamlPosition at, std::string key, std::string found, std::string expected) {
  problems_.push_back({at.line, at.column, std::move(key), std::move(found), std::move(expected)});
}

std::vector<SettingsProblem> ProblemList::take() && {
  std::ranges::stable_sort(problems_, {},
                           [](const SettingsProblem& problem) { return std::pair(problem.line, problem.column); });
  return std::move(problems_);
}

std::string describe(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::null:
      return "nothing";
    case YamlNode::Kind::scalar:
      return in_quotes(node.text);
    case YamlNode::Kind::sequence:
      return "a list";
    case YamlNode::Kind::map:
      return "a map";
  }
  return "nothing";
}

std::string did_you_mean(std::string_view wanted, std::span<const std::string> names) {
  const std::string wanted_lower = lower_ascii(wanted);
  const auto same =
      std::ranges::find_if(names, [&](const std::string& name) { return lower_ascii(name) == wanted_lower; });
  const auto nearest = same != names.end() ? std::optional(*same) : nearest_name(wanted, names);
  return nearest ? fmt::format("; did you mean \"{}\"?", *nearest) : "";
}

std::expected<std::vector<std::string>, TextProblem> split_command(std::string_view text) {
  std::vector<std::string> words;
  bool in_word = false;
  char quote = '\0';
  const auto word = [&]() -> std::string& {
    if (!in_word) words.emplace_back();
    in_word = true;
    return words.back();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == '\'') {  // NOLINT(bugprone-branch-clone): the branches differ in what they mean
      if (c == quote)
        quote = '\0';
      else
        word() += c;
    } else if (c == '\\') {
      if (++i == text.size()) return std::unexpected(TextProblem{"a backslash at the end", "a character after it"});
      // In double quotes a backslash keeps its place before anything it need not protect.
      if (quote == '"' && text[i] != '"' && text[i] != '\\' && text[i] != '$' && text[i] != '`') word() += c;
      word() += text[i];
    } else if (std::string_view("$`").find(c) != std::string_view::npos ||
               (quote == '\0' && std::string_view("|&;<>()*?[#~").find(c) != std::string_view::npos)) {
      return std::unexpected(
          TextProblem{fmt::format("the shell's \"{}\" in {}", c, in_quotes(text)),
                      "a command and its arguments, which no shell expands; for a shell: [sh, -c, \"...\"]"});
    } else if (quote == '"') {
      if (c == quote)
        quote = '\0';
      else
        word() += c;
    } else if (c == '"' || c == '\'') {
      quote = c;
      word();
    } else if (c == ' ' || c == '\t' || c == '\n') {
      in_word = false;
    } else {
      word() += c;
    }
  }
  if (quote != '\0')
    return std::unexpected(
        TextProblem{in_quotes(text), fmt::format("a closing {} at the end of what it quotes", quote)});
  if (words.empty() || words.front().empty())
    return std::unexpected(TextProblem{in_quotes(text), "a command and its arguments"});
  return words;
}

MapReader::MapReader(ProblemList& problems, const YamlNode* node, YamlPosition at, std::string path,
                     const std::filesystem::path& directory)
    : problems_(problems), node_(node), at_(at), path_(std::move(path)), directory_(directory) {
  if (node_ == nullptr || node_->kind == YamlNode::Kind::map) return;
  if (node_->kind != YamlNode::Kind::null) {
    problems_.add(node_->at, path_, cairn::describe(*node_), "a map (keys and values)");
    readable_ = false;
  }
  node_ = nullptr;
}

const YamlEntry* MapReader::take(std::string_view key) {
  if (std::ranges::find(known_, key) == known_.end()) known_.emplace_back(key);
  if (node_ == nullptr) return nullptr;
  const auto entry = std::ranges::find(node_->entries, key, &YamlEntry::key);
  return entry == node_->entries.end() ? nullptr : &*entry;
}

MapReader MapReader::map(std::string_view key) {
  const YamlEntry* entry = take(key);
  if (entry != nullptr) return map(*entry);
  MapReader absent(problems_, nullptr, at_, key_path(key), directory_);
  absent.readable_ = readable_;
  return absent;
}

MapReader MapReader::map(const YamlEntry& entry) const {
  return {problems_, entry.value.get(), entry.key_at, key_path(entry.key), directory_};
}

const std::vector<YamlEntry>& MapReader::named_entries(std::string_view kind) {
  static const std::vector<YamlEntry> kNone;
  if (node_ == nullptr) return kNone;
  for (const YamlEntry& entry : node_->entries)
    if (!is_valid_name(entry.key))
      key_problem(entry, fmt::format("the {} name {}", kind, in_quotes(entry.key)),
                  "a name of 1 to 64 letters a-z A-Z, digits and . _ -, beginning with a letter or digit");
  return node_->entries;
}

const YamlNode* MapReader::scalar(const YamlEntry& entry, std::string_view expected) {
  if (entry.value->kind == YamlNode::Kind::scalar) return entry.value.get();
  problem(entry, cairn::describe(*entry.value), std::string(expected));
  return nullptr;
}

namespace {
constexpr std::string_view kPathExpected = "a path";
}  // namespace

std::optional<std::filesystem::path> MapReader::path(std::string_view key) {
  const YamlEntry* entry = take(key);
  const YamlNode* node = entry == nullptr ? nullptr : scalar(*entry, kPathExpected);
  return node == nullptr ? std::nullopt : path_in(*entry, *node);
}

std::vector<std::filesystem::path> MapReader::paths(std::string_view key) {
  const YamlEntry* entry = take(key);
  if (entry == nullptr) return {};
  std::vector<std::filesystem::path> all;
  if (entry->value->kind != YamlNode::Kind::sequence) {
    if (auto one = path(key)) all.push_back(*std::move(one));
    return all;
  }
  for (const auto& item : entry->value->items) {
    if (item->kind != YamlNode::Kind::scalar) {
      problem(*entry, cairn::describe(*item), "a path in each place of the list");
      return {};
    }
    auto one = path_in(*entry, *item);
    if (!one) return {};
    all.push_back(*std::move(one));
  }
  return all;
}

std::optional<std::filesystem::path> MapReader::path_in(const YamlEntry& entry, const YamlNode& node) {
  const std::string& text = node.text;
  std::string_view wrong;
  if (as_boolean(node))
    wrong = "a path, not true or false (a file of that name: put it in quotes)";
  else if (is_number_like(node))
    wrong = "a path, not a number (a file of that name: put it in quotes)";
  else if (text.empty())
    wrong = kPathExpected;
  else if (std::ranges::any_of(text, is_control))
    wrong = "a path without control characters";
  else if (text == "~" || text.starts_with("~/"))
    wrong = "a path; \"~\" is not expanded here, write the directory out";
  else if (text.size() > 4095)
    wrong = "a path of at most 4095 bytes";
  if (!wrong.empty()) {
    problem(entry, in_quotes(text), std::string(wrong));
    return std::nullopt;
  }
  std::filesystem::path path = (directory_ / text).lexically_normal();
  if (!path.has_filename() && path.has_relative_path()) path = path.parent_path();  // the slash at the end
  return path;
}

std::optional<std::string> MapReader::text(std::string_view key, std::string_view expected) {
  const YamlEntry* entry = take(key);
  const YamlNode* node = entry == nullptr ? nullptr : scalar(*entry, expected);
  if (node == nullptr) return std::nullopt;
  if (node->text.empty() || std::ranges::any_of(node->text, is_control)) {
    problem(*entry, in_quotes(node->text), std::string(expected));
    return std::nullopt;
  }
  return node->text;
}

std::optional<bool> MapReader::boolean(std::string_view key) {
  const YamlEntry* entry = take(key);
  const YamlNode* node = entry == nullptr ? nullptr : scalar(*entry, "true or false");
  if (node == nullptr) return std::nullopt;
  const auto value = as_boolean(*node);
  if (!value) problem(*entry, (node->quoted ? "the quoted text " : "") + in_quotes(node->text), "true or false");
  return value;
}

std::optional<unsigned> MapReader::number(std::string_view key, unsigned lowest, unsigned highest) {
  const std::string expected = fmt::format("a whole number from {} to {}", lowest, highest);
  const YamlEntry* entry = take(key);
  const YamlNode* node = entry == nullptr ? nullptr : scalar(*entry, expected);
  if (node == nullptr) return std::nullopt;
  const auto value = as_number(*node);
  if (value && *value >= lowest && *value <= highest) return value;
  problem(*entry, (node->quoted ? "the quoted text " : "") + in_quotes(node->text), expected);
  return std::nullopt;
}

std::optional<std::size_t> MapReader::choice(std::string_view key, std::span<const std::string> names) {
  const std::string expected = names.size() == 2 ? fmt::format("{} or {}", names[0], names[1])
                                                 : fmt::format("one of {}", fmt::join(names, ", "));
  const YamlEntry* entry = take(key);
  const YamlNode* node = entry == nullptr ? nullptr : scalar(*entry, expected);
  if (node == nullptr) return std::nullopt;
  const auto found = std::ranges::find(names, node->text);
  if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
  problem(*entry, in_quotes(node->text), expected + did_you_mean(node->text, names));
  return std::nullopt;
}

std::optional<std::vector<std::string>> MapReader::command(std::string_view key) {
  static constexpr std::string_view kExpected = "a command: a list [program, argument, ...] or one line of text";
  const YamlEntry* entry = take(key);
  if (entry == nullptr) return std::nullopt;
  std::vector<std::string> words;
  if (entry->value->kind == YamlNode::Kind::sequence) {
    for (const YamlNodePtr& item : entry->value->items) {
      if (item->kind != YamlNode::Kind::scalar || item->text.find('\0') != std::string::npos) {
        problems_.add(item->at, key_path(key), cairn::describe(*item), "a text in each place of the list");
        return std::nullopt;
      }
      words.push_back(item->text);
    }
    if (words.empty() || words.front().empty()) {
      problem(*entry, words.empty() ? "an empty list" : "no program", std::string(kExpected));
      return std::nullopt;
    }
  } else {
    const YamlNode* node = scalar(*entry, kExpected);
    if (node == nullptr) return std::nullopt;
    if (node->text.find('\0') != std::string::npos) {
      problem(*entry, in_quotes(node->text), std::string(kExpected));
      return std::nullopt;
    }
    auto split = split_command(node->text);
    if (!split) {
      problem(*entry, split.error().found, split.error().expected);
      return std::nullopt;
    }
    words = *std::move(split);
  }
  // A bare program name is looked up in $PATH; a path is relative to the file like all others.
  if (words.front().find('/') != std::string::npos)
    words.front() = (directory_ / words.front()).lexically_normal().string();
  return words;
}

std::optional<std::chrono::seconds> MapReader::checked_duration(const YamlEntry& entry, const DurationLimits& limits,
                                                                std::string_view expected) {
  const YamlNode* node = scalar(entry, expected);
  if (node == nullptr) return std::nullopt;
  const auto value = parse_duration(node->text);
  if (value && *value >= limits.lowest && *value <= limits.highest) return value;
  std::string what(expected);
  if (!value && is_number_like(*node)) what += fmt::format("; a number needs its unit: s, m, h, d or w");
  problem(entry, in_quotes(node->text), what);
  return std::nullopt;
}

std::optional<std::chrono::seconds> MapReader::duration(std::string_view key, const DurationLimits& limits) {
  const YamlEntry* entry = take(key);
  return entry == nullptr ? std::nullopt : checked_duration(*entry, limits, limits.expected);
}

std::optional<std::optional<std::chrono::seconds>> MapReader::duration_or_off(std::string_view key,
                                                                              const DurationLimits& limits) {
  const YamlEntry* entry = take(key);
  if (entry == nullptr) return std::nullopt;
  if (entry->value->kind == YamlNode::Kind::scalar && lower_ascii(entry->value->text) == "off")
    return std::optional<std::chrono::seconds>{};
  const auto value = checked_duration(*entry, limits, std::string(limits.expected) + ", or off");
  if (!value) return std::nullopt;
  return value;  // a duration: neither left out nor off
}

std::optional<std::optional<std::uint64_t>> MapReader::size_or_off(std::string_view key, std::uint64_t lowest,
                                                                   std::uint64_t highest, std::string_view expected) {
  const YamlEntry* entry = take(key);
  if (entry == nullptr) return std::nullopt;
  const std::string wanted = std::string(expected) + ", or off";
  const YamlNode* node = scalar(*entry, wanted);
  if (node == nullptr) return std::nullopt;
  if (lower_ascii(node->text) == "off") return std::optional<std::uint64_t>{};
  const auto size = parse_size(node->text);
  if (size && *size >= lowest && *size <= highest) return size;
  problem(*entry, cairn::describe(*node), wanted);
  return std::nullopt;
}

void MapReader::problem(const YamlEntry& entry, std::string found, std::string expected) {
  problems_.add(entry.value->at, key_path(entry.key), std::move(found), std::move(expected));
}

void MapReader::key_problem(const YamlEntry& entry, std::string found, std::string expected) {
  problems_.add(entry.key_at, key_path(entry.key), std::move(found), std::move(expected));
}

void MapReader::missing(std::string_view key, std::string expected) {
  if (readable_) problems_.add(at_, key_path(key), "nothing", std::move(expected));
}

void MapReader::finish() {
  if (node_ == nullptr) return;
  for (const YamlEntry& entry : node_->entries) {
    if (std::ranges::find(known_, entry.key) != known_.end()) continue;
    std::string expected = fmt::format("{}{}", known_.size() == 1 ? "" : "one of ", fmt::join(known_, ", "));
    if (entry.key == "<<") expected += " (merge keys are not YAML 1.2; repeat the values)";
    key_problem(entry, "the unknown key " + in_quotes(entry.key), expected + did_you_mean(entry.key, known_));
  }
}

std::string MapReader::key_path(std::string_view key) const {
  return path_.empty() ? shown_key(key) : path_ + "." + shown_key(key);
}

}  // namespace cairn
