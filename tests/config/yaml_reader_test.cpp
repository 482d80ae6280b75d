// SPDX-License-Identifier: GPL-3.0-or-later
// YAML reader: places, duplicate keys, and texts that mean harm.
#include "config/yaml_reader.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// Each problem as "LINE:COLUMN KEY: found X, expected Y".
std::vector<std::string> problems(std::string_view text) {
  const YamlTree tree = read_yaml(text);
  std::vector<std::string> result;
  for (const SettingsProblem& p : tree.problems)
    result.push_back(fmt::format("{}:{} {}: found {}, expected {}", p.line, p.column, p.key, p.found, p.expected));
  return result;
}

std::string place(YamlPosition at) {
  return fmt::format("{}:{}", at.line, at.column);
}

TEST(YamlReader, KnowsWhereKeysAndValuesStand) {
  const YamlTree tree = read_yaml("a: 1\nb:\n  c: [x, \"y\"]\n  d:\n");
  ASSERT_THAT(tree.problems, IsEmpty());
  ASSERT_TRUE(tree.root);
  const auto& entries = tree.root->entries;
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_EQ(place(entries[0].key_at), "1:1");
  EXPECT_EQ(place(entries[0].value->at), "1:4");
  const auto& nested = entries[1].value->entries;
  ASSERT_THAT(nested, SizeIs(2));
  EXPECT_EQ(place(nested[0].key_at), "3:3");
  EXPECT_EQ(place(nested[0].value->at), "3:6");
  EXPECT_EQ(place(nested[0].value->items[1]->at), "3:10");
  EXPECT_TRUE(nested[0].value->items[1]->quoted);
  EXPECT_FALSE(nested[0].value->items[0]->quoted);
  EXPECT_EQ(nested[1].value->kind, YamlNode::Kind::null);
  EXPECT_EQ(place(nested[1].value->at), "4:3");  // its key's
}

TEST(YamlReader, CountsCharactersNotBytes) {
  const YamlTree tree = read_yaml("{ \"å∫𝄞\": 1, b: 2 }\n");
  ASSERT_TRUE(tree.root);
  EXPECT_EQ(place(tree.root->entries[0].value->at), "1:10");
  EXPECT_EQ(place(tree.root->entries[1].key_at), "1:13");
}

TEST(YamlReader, SkipsAByteOrderMarkAndTakesWindowsLineEnds) {
  const YamlTree tree = read_yaml(
      "\xEF\xBB\xBF"
      "a: 1\r\nb: 2\r\n");
  ASSERT_THAT(tree.problems, IsEmpty());
  ASSERT_THAT(tree.root->entries, SizeIs(2));
  EXPECT_EQ(place(tree.root->entries[0].key_at), "1:1");
  EXPECT_EQ(place(tree.root->entries[1].value->at), "2:4");
  EXPECT_EQ(tree.root->entries[1].value->text, "2");
}

TEST(YamlReader, ReportsEachDuplicateKey) {
  EXPECT_THAT(
      problems("a: 1\nb: { c: 1, c: 2 }\na: 3\n"),
      ElementsAre("2:12 b.c: found the key \"c\" a second time, expected each key once (it stands in line 2 already)",
                  "3:1 a: found the key \"a\" a second time, expected each key once (it stands in line 1 already)"));
}

TEST(YamlReader, TheFirstOfDuplicateKeysCounts) {
  const YamlTree tree = read_yaml("a: 1\na: 2\n");
  ASSERT_THAT(tree.root->entries, SizeIs(1));
  EXPECT_EQ(tree.root->entries[0].value->text, "1");
}

TEST(YamlReader, EmptyTextsHaveNoRoot) {
  for (const char* text : {"", "\n", "# only this\n"}) {
    const YamlTree tree = read_yaml(text);
    EXPECT_TRUE(tree.root == nullptr || tree.root->kind == YamlNode::Kind::null) << text;
    EXPECT_THAT(tree.problems, IsEmpty()) << text;
  }
}

TEST(YamlReader, ReportsSyntaxErrorsWithTheirPlace) {
  EXPECT_THAT(problems("a: b\nc: d: e\n"),
              ElementsAre(HasSubstr("2:5 : found a YAML syntax error (illegal map value)")));
  EXPECT_THAT(problems("a: [b\n"),
              ElementsAre(HasSubstr("found a YAML syntax error (end of sequence flow not found)")));
  EXPECT_THAT(problems("a: *nobody\n"), ElementsAre(HasSubstr("1:4 : found a YAML syntax error")));
  for (const char* text : {"{", "}", "a: b\n c: d\n", "a: @x\n", "a: `x`\n", "- a\nb: c\n", "&", "!<", "a: |9x\n"})
    EXPECT_THAT(problems(text), SizeIs(1)) << text;
}

TEST(YamlReader, RefusesQuotesThatAreNotClosed) {
  EXPECT_THAT(problems("a: \"b\nc: d\n"),
              ElementsAre("1:4 a: found a \" that is not closed, expected another one at the end of the text"));
  EXPECT_THAT(problems("a: 'b''\n"),
              ElementsAre("1:4 a: found a ' that is not closed, expected another one at the end of the text"));
  for (const char* text : {"a: \"b\\\"\n", "a: &x \"b\n", "a: !!str  'b\n", "\"a: b\n", "a: &x !!str\n  \"b\n"})
    EXPECT_THAT(problems(text), ElementsAre(HasSubstr("that is not closed"))) << text;
  for (const char* text : {"a: \"b\\\\\"", "a: 'b'''", "a: ''", "a: \"\"", "a: \"b\n  c\"", "a: b'c", "a: b \"c",
                           "a: &x 'b'", "a: !!str", "a: &x", "a: |\n  \"b\n", "a: >\n  'b"})
    EXPECT_THAT(problems(text), IsEmpty()) << text;
}

TEST(YamlReader, RefusesASecondDocument) {
  EXPECT_THAT(problems("a: 1\n---\nb: 2\n"),
              ElementsAre("2:1 : found a second document, expected one document (\"---\" once at most)"));
  EXPECT_THAT(problems("---\na: 1\n...\n"), IsEmpty());
}

TEST(YamlReader, RefusesTabsInTheIndentation) {
  EXPECT_THAT(problems("a:\n\tb: 1\n  \tc: 2\n# \t\n\t# fine\n\t\nd:\t1\n"),
              ElementsAre("2:1 : found a tab in the indentation, expected spaces",
                          "3:1 : found a tab in the indentation, expected spaces"));
}

TEST(YamlReader, RefusesOtherEncodings) {
  EXPECT_THAT(problems("a: b\nc: m\xFCller\n"), ElementsAre("2:5 : found the byte 0xfc, expected text in UTF-8"));
  for (const char* bytes : {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
                            "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80", "\xE2\x82", "\xF0\x9D\x84",
                            "\xFF\xFE"
                            "a"})
    EXPECT_THAT(problems(std::string("a: ") + bytes), ElementsAre(HasSubstr("expected text in UTF-8")));
  EXPECT_THAT(problems("a: \xEF\xBF\xBD\xF4\x8F\xBF\xBF\xED\x9F\xBF\n"), IsEmpty());
}

TEST(YamlReader, RefusesControlCharacters) {
  EXPECT_THAT(problems(std::string("a: b\0c\n", 7)),
              ElementsAre("1:5 : found the control character 0x00, expected text"));
  EXPECT_THAT(problems("a: 1\n\x04"
                       "b: 2\n"),
              ElementsAre("2:1 : found the control character 0x04, expected text"));
  EXPECT_THAT(problems("a: \x1b[31m\n"), ElementsAre("1:4 : found the control character 0x1b, expected text"));
}

TEST(YamlReader, RefusesMoreThanAMebibyte) {
  EXPECT_THAT(problems(std::string(kLargestSettingsFile, '#')), IsEmpty());
  EXPECT_THAT(problems(std::string(kLargestSettingsFile + 1, '#')),
              ElementsAre("0:0 : found more than 1.00 MiB, expected at most 1.00 MiB"));
}

TEST(YamlReader, SharesWhatAnAliasNames) {
  const YamlTree tree = read_yaml("a: &x { b: 1 }\nc: *x\n");
  ASSERT_THAT(tree.problems, IsEmpty());
  EXPECT_EQ(tree.root->entries[0].value, tree.root->entries[1].value);
}

TEST(YamlReader, RefusesAnAliasOfItself) {
  EXPECT_THAT(
      problems("a: &x [1, *x]\n"),
      ElementsAre("1:11 a[2]: found an alias of the value that it stands in, expected an alias of an earlier value"));
  EXPECT_THAT(problems("a: &x { b: *x }\n"), SizeIs(1));
}

TEST(YamlReader, RefusesAliasesThatMultiply) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i <= 20; ++i)
    text += fmt::format("a{0}: &a{0} [*a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}]\n", i, i - 1);
  EXPECT_THAT(problems(text), ElementsAre(HasSubstr("too many values, aliases written out, expected at most 200000")));
}

TEST(YamlReader, RefusesDeepNesting) {
  const auto lists = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_THAT(problems(lists(32)), IsEmpty());
  EXPECT_THAT(problems(lists(33)), ElementsAre(HasSubstr("expected at most 32 levels")));
  EXPECT_THAT(problems(std::string(100'000, '[')), ElementsAre(HasSubstr("expected at most 32 levels")));
  EXPECT_THAT(problems("a: &x " + lists(20) + "\nb: " + std::string(20, '[') + "*x" + std::string(20, ']') + "\n"),
              ElementsAre(HasSubstr("expected at most 32 levels")));
}

TEST(YamlReader, RefusesKeysThatAreNoNames) {
  EXPECT_THAT(problems("[a, b]: 1\n"),
              ElementsAre(HasSubstr("1:1 : found a key that is a list or a map, expected a name")));
  EXPECT_THAT(problems("~: 1\n"), ElementsAre(HasSubstr("found a key that is empty")));
  EXPECT_THAT(problems("? {a: b}\n: 1\nc: 2\nc: 3\n"), SizeIs(2));
}

TEST(YamlReader, RefusesTagsOfItsOwn) {
  EXPECT_THAT(problems("a: !secret b\n"), ElementsAre("1:4 a: found the tag \"!secret\", expected no tag"));
  EXPECT_THAT(problems("a: !!str 12\n"), IsEmpty());
}

TEST(YamlReader, ReadsHostileTextsInLinearTime) {
  const auto repeated = [](std::string_view part, int times) {
    std::string text;
    for (int i = 0; i < times; ++i) text += part;
    return text;
  };
  // Each takes many seconds when a quadratic step creeps in.
  EXPECT_THAT(problems("[" + repeated("a,", 100'000)), SizeIs(1));
  EXPECT_THAT(problems("{" + repeated("a: ", 60'000)), SizeIs(1));
  EXPECT_THAT(problems(repeated("- ", 100'000)), SizeIs(1));
  EXPECT_THAT(problems("\"" + repeated("a\n", 100'000)), SizeIs(1));
  EXPECT_THAT(problems(repeated("!", 300'000)), SizeIs(1));
}

TEST(YamlReader, QuotesOnOneLine) {
  EXPECT_EQ(in_quotes("a\"b\\c\nd\x01"), "\"a\\\"b\\\\c\\nd\\x01\"");
  EXPECT_EQ(in_quotes("å\xff"), "\"å\\xff\"");
  EXPECT_EQ(in_quotes(std::string(200, 'x')), "\"" + std::string(80, 'x') + "...\"");
  EXPECT_EQ(shown_key("web-01"), "web-01");
  EXPECT_EQ(shown_key("a b\n"), "\"a b\\n\"");
  EXPECT_EQ(shown_key(""), "\"\"");
}

}  // namespace
}  // namespace cairn
