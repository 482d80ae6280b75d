// SPDX-License-Identifier: GPL-3.0-or-later
// YAML reader on yaml-cpp's parser events: its node tree drops the places of keys and swallows duplicate ones.
#include "config/yaml_reader.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <sstream>
#include <unordered_map>

#include "config/base/units.h"

namespace cairn {

namespace {

constexpr std::size_t kDeepestNesting = 32;
constexpr std::size_t kMostNodes = 200'000;  // counted as if every alias were written out

bool is_forbidden_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7F;
}

// What yaml-cpp would take without a word: other encodings, control characters (0x04 ends its stream), tabs.
std::vector<SettingsProblem> check_characters(std::string_view text) {
  std::vector<SettingsProblem> problems;
  YamlPosition at{1, 1};
  bool in_indentation = true;
  bool tab_in_indentation = false;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const std::size_t length = utf8_length(text.substr(i));
    if (length == 0) {
      problems.push_back(
          {at.line, at.column, "", fmt::format("the byte 0x{:02x}", static_cast<unsigned char>(c)), "text in UTF-8"});
      return problems;  // in another encoding, every line would be reported
    }
    if (is_forbidden_control(c)) {
      problems.push_back({at.line, at.column, "",
                          fmt::format("the control character 0x{:02x}", static_cast<unsigned char>(c)), "text"});
      return problems;
    }
    if (c == '\n') {
      at = {at.line + 1, 0};
      in_indentation = true;
      tab_in_indentation = false;
    } else if (in_indentation && c == '\t') {
      tab_in_indentation = true;
    } else if (in_indentation && c != ' ') {
      if (tab_in_indentation && c != '#' && c != '\r')
        problems.push_back({at.line, 1, "", "a tab in the indentation", "spaces"});
      in_indentation = false;
    }
    i += length;
    ++at.column;
  }
  return problems;
}

// Thrown out of yaml-cpp's parser when going on would only cost time; the problem is recorded already.
struct StopReading {};

class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::string_view text) : text_(text) {
    line_starts_.push_back(0);
    for (std::size_t i = 0; i < text.size(); ++i)
      if (text[i] == '\n') line_starts_.push_back(i + 1);
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 1) return;
    report(position(mark), "a second document", "one document (\"---\" once at most)");
    throw StopReading{};
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    finish(start(YamlNode::Kind::null, mark, ""), anchor, 1);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto known = anchors_.find(anchor);
    if (known == anchors_.end()) {
      report(position(mark), "an alias of the value that it stands in", "an alias of an earlier value");
      throw StopReading{};
    }
    check_depth(position(mark), heights_.at(known->second.get()));
    add(known->second, position(mark), weights_.at(known->second.get()));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    auto node = start(YamlNode::Kind::scalar, mark, tag);
    node->text = value;
    node->quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    check_closing_quote(mark);
    finish(std::move(node), anchor, 1);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(start(YamlNode::Kind::sequence, mark, tag), anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(start(YamlNode::Kind::map, mark, tag), anchor);
  }
  void OnMapEnd() override { close(); }

  // yaml-cpp counts the bytes of a line; people count characters. Marks mostly come in order, so that counting goes on
  // from the last one: a file of one long line costs its length, not its square.
  YamlPosition position(const YAML::Mark& mark) {
    if (mark.is_null() || mark.line < 0 || mark.column < 0) return {};
    const auto line = std::min<std::size_t>(static_cast<std::size_t>(mark.line), line_starts_.size() - 1);
    const auto column = static_cast<std::size_t>(mark.column);
    if (line != counted_line_ || column < counted_bytes_) {
      counted_line_ = line;
      counted_bytes_ = 0;
      counted_characters_ = 0;
    }
    const std::string_view between = text_.substr(line_starts_[line]).substr(counted_bytes_, column - counted_bytes_);
    const auto continued = std::ranges::count_if(between, [](char c) { return (c & 0xC0) == 0x80; });
    counted_characters_ += column - counted_bytes_ - static_cast<std::size_t>(continued);
    counted_bytes_ = column;
    return {line + 1, counted_characters_ + 1};
  }
  void report(YamlPosition at, std::string found, std::string expected) {
    problems_.push_back({at.line, at.column, path(), std::move(found), std::move(expected)});
  }

  YamlNodePtr root_;
  std::vector<SettingsProblem> problems_;

 private:
  struct Frame {
    std::shared_ptr<YamlNode> node;
    YAML::anchor_t anchor;
    bool has_key = false;  // map: a key waits for its value
    bool key_is_usable = false;
    std::string key;
    YamlPosition key_at;
    std::unordered_map<std::string, std::size_t> line_of_key;
    std::size_t weight = 1;
    std::size_t height = 1;
  };

  [[nodiscard]] std::string path() const {
    std::string result;
    for (const Frame& frame : frames_) {
      if (frame.node->kind == YamlNode::Kind::sequence) {
        result += fmt::format("[{}]", frame.node->items.size() + 1);
      } else if (frame.has_key) {
        if (!result.empty()) result += '.';
        result += shown_key(frame.key);
      }
    }
    return result;
  }

  std::shared_ptr<YamlNode> start(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag) {
    auto node = std::make_shared<YamlNode>();
    node->kind = kind;
    node->at = position(mark);
    static constexpr std::string_view kCore = "tag:yaml.org,2002:";
    if (!tag.empty() && tag != "?" && tag != "!" && !tag.starts_with(kCore))
      report(node->at, "the tag " + in_quotes(tag), "no tag");
    return node;
  }

  // yaml-cpp takes the end of the file for a closing quote, and all keys up to there for text.
  void check_closing_quote(const YAML::Mark& mark) {
    if (mark.is_null() || mark.line < 0 || static_cast<std::size_t>(mark.line) >= line_starts_.size()) return;
    std::size_t at = line_starts_[static_cast<std::size_t>(mark.line)] + static_cast<std::size_t>(mark.column);
    while (at < text_.size() && (text_[at] == '&' || text_[at] == '!'))  // an anchor or tag before it
      at = text_.find_first_not_of(" \t\r\n", text_.find_first_of(" \t\r\n", at));
    if (at >= text_.size() || (text_[at] != '"' && text_[at] != '\'')) return;
    const char quote = text_[at];
    for (std::size_t i = at + 1; i < text_.size(); ++i) {
      if (text_[i] == '\\' && quote == '"') {
        ++i;
      } else if (text_[i] == quote) {
        if (quote == '"' || i + 1 >= text_.size() || text_[i + 1] != quote) return;
        ++i;  // '' is one quote within single quotes
      }
    }
    report(position(mark), fmt::format("a {} that is not closed", quote), "another one at the end of the text");
    throw StopReading{};
  }

  void check_depth(YamlPosition at, std::size_t height) {
    if (frames_.size() + height <= kDeepestNesting) return;
    report(at, "lists and maps within each other", fmt::format("at most {} levels", kDeepestNesting));
    throw StopReading{};
  }

  void open(std::shared_ptr<YamlNode> node, YAML::anchor_t anchor) {
    check_depth(node->at, 1);
    frames_.push_back({.node = std::move(node), .anchor = anchor, .key = {}, .key_at = {}, .line_of_key = {}});
  }

  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    if (frame.anchor != YAML::NullAnchor) heights_[frame.node.get()] = frame.height;
    if (!frames_.empty()) frames_.back().height = std::max(frames_.back().height, frame.height + 1);
    finish(std::move(frame.node), frame.anchor, frame.weight);
  }

  // A node is complete: remembers it for its aliases and hands it to the list or map around it.
  void finish(std::shared_ptr<YamlNode> node, YAML::anchor_t anchor, std::size_t weight) {
    // A null stands nowhere; its key does.
    if (node->kind == YamlNode::Kind::null && !frames_.empty() && frames_.back().has_key)
      node->at = frames_.back().key_at;
    if (anchor != YAML::NullAnchor) {
      anchors_[anchor] = node;
      weights_[node.get()] = weight;
      heights_.try_emplace(node.get(), 1);
    }
    const YamlPosition at = node->at;
    add(std::move(node), at, weight);
  }

  void add(YamlNodePtr node, YamlPosition at, std::size_t weight) {
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    frame.weight += weight;
    if (frame.weight > kMostNodes) {
      report(at, "too many values, aliases written out", fmt::format("at most {}", kMostNodes));
      throw StopReading{};
    }
    if (frame.node->kind == YamlNode::Kind::sequence) {
      frame.node->items.push_back(std::move(node));
    } else if (!frame.has_key) {
      take_key(frame, *node, at);
    } else {
      if (frame.key_is_usable) frame.node->entries.push_back({frame.key, frame.key_at, std::move(node)});
      frame.has_key = false;
    }
  }

  void take_key(Frame& frame, const YamlNode& node, YamlPosition at) {
    if (node.kind != YamlNode::Kind::scalar) {
      report(at, node.kind == YamlNode::Kind::null ? "a key that is empty" : "a key that is a list or a map",
             "a name as key");
      frame.has_key = true;
      frame.key_is_usable = false;
      frame.key.clear();
      frame.key_at = at;
      return;
    }
    const auto [earlier, is_new] = frame.line_of_key.try_emplace(node.text, at.line);
    frame.has_key = true;
    frame.key_is_usable = is_new;
    frame.key = node.text;
    frame.key_at = at;
    if (!is_new)
      report(at, "the key " + in_quotes(node.text) + " a second time",
             fmt::format("each key once (it stands in line {} already)", earlier->second));
  }

  std::string_view text_;
  std::vector<std::size_t> line_starts_;
  std::size_t counted_line_ = 0;
  std::size_t counted_bytes_ = 0;
  std::size_t counted_characters_ = 0;
  std::size_t documents_ = 0;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, YamlNodePtr> anchors_;
  std::unordered_map<const YamlNode*, std::size_t> weights_;  // of anchored nodes
  std::unordered_map<const YamlNode*, std::size_t> heights_;  // of anchored nodes
};

}  // namespace

std::string in_quotes(std::string_view text) {
  static constexpr std::size_t kLongest = 80;
  std::string result = "\"";
  std::size_t characters = 0;
  for (std::size_t i = 0; i < text.size();) {
    if (++characters > kLongest) {
      result += "...";
      break;
    }
    const std::size_t length = utf8_length(text.substr(i));
    const auto byte = static_cast<unsigned char>(text[i]);
    if (text[i] == '\n') {
      result += "\\n";
    } else if (text[i] == '"' || text[i] == '\\') {
      result += '\\';
      result += text[i];
    } else if (length == 0 || byte < 0x20 || byte == 0x7F) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += text.substr(i, length);
    }
    i += std::max<std::size_t>(length, 1);
  }
  return result + '"';
}

std::string shown_key(std::string_view key) {
  const bool is_plain = !key.empty() && key.size() <= 64 && std::ranges::all_of(key, [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7F && c != '"';
  });
  return is_plain ? std::string(key) : in_quotes(key);
}

YamlTree read_yaml(std::string_view text) {
  YamlTree tree;
  if (text.size() > kLargestSettingsFile) {
    tree.problems.push_back(
        {0, 0, "", "more than " + format_size(kLargestSettingsFile), "at most " + format_size(kLargestSettingsFile)});
    return tree;
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // byte order mark
  tree.problems = check_characters(text);
  if (!tree.problems.empty()) return tree;

  TreeBuilder builder(text);
  bool complete = false;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
    complete = true;
  } catch (const StopReading&) {
    complete = false;
  } catch (const YAML::Exception& error) {
    const YamlPosition at = builder.position(error.mark);
    // The commonest cause by far, and yaml-cpp's words do not lead there.
    const bool may_need_quotes = error.msg == YAML::ErrorMsg::MAP_VALUE;
    builder.problems_.push_back(
        {at.line, at.column, "", fmt::format("a YAML syntax error ({})", error.msg),
         may_need_quotes
             ? "correct YAML (a text that has \": \" in it needs quotes; keys of one map begin in one column)"
             : "correct YAML"});
  }
  tree.problems = std::move(builder.problems_);
  if (complete) tree.root = std::move(builder.root_);
  return tree;
}

}  // namespace cairn
