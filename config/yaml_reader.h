// SPDX-License-Identifier: GPL-3.0-or-later
// YAML reader: text to a tree of nodes that know where they stand. Refuses what settings cannot need: duplicate keys,
// keys that are no text, several documents, bytes that are not UTF-8, tabs as indentation, texts over 1 MiB, deep
// nesting, aliases that multiply. yaml-cpp's exceptions end here. Any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/text.h"
#include "config/settings.h"

namespace cairn {

inline constexpr std::size_t kLargestSettingsFile = 1024 * 1024;

// From 1; columns count characters. Line 0: the file as a whole.
struct YamlPosition {
  std::size_t line = 0;
  std::size_t column = 0;
};

struct YamlNode;
using YamlNodePtr = std::shared_ptr<const YamlNode>;  // shared by the aliases of one anchor

struct YamlEntry {
  std::string key;
  YamlPosition key_at;
  YamlNodePtr value;  // never nullptr
};

struct YamlNode {
  enum class Kind { null, scalar, sequence, map };
  Kind kind = Kind::null;
  YamlPosition at;                 // of a null: its key's
  std::string text;                // scalar
  bool quoted = false;             // scalar
  std::vector<YamlNodePtr> items;  // sequence
  std::vector<YamlEntry> entries;  // map, in the file's order, keys distinct
};

struct YamlTree {
  YamlNodePtr root;                       // nullptr: nothing could be read, or the text is empty
  std::vector<SettingsProblem> problems;  // in the order met
};

YamlTree read_yaml(std::string_view text);

// `text` in double quotes, on one line, shortened when long: for "found ...".
std::string in_quotes(std::string_view text);

// A key as a part of a problem's key path: in quotes only when it would be misread without.
std::string shown_key(std::string_view key);

}  // namespace cairn
