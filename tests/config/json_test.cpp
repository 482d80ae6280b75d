// SPDX-License-Identifier: GPL-3.0-or-later
#include "config/base/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/base/result.h"

namespace cairn {
namespace {

using nlohmann::json;

TEST(JsonNumber, TakesWhatTheTypeHolds) {
  EXPECT_EQ(whole_number<std::uint64_t>(json::parse("18446744073709551615")), UINT64_MAX);
  EXPECT_EQ(whole_number<std::int64_t>(json::parse("-9223372036854775808")), INT64_MIN);
  EXPECT_EQ(whole_number<int>(json(-5)), -5);
  EXPECT_EQ(whole_number<unsigned>(json(5)), 5U);  // signed in memory
}

TEST(JsonNumber, RefusesWhatWouldBeCutOrIsNoInteger) {
  // The first was found by fuzzing: as a float it is beyond every integer, which is undefined behaviour to convert.
  for (const char* text :
       {"9.865e+30", "18446744073709551616", "5.0", "-1", "4294967296", "\"5\"", "true", "null", "[]"})
    EXPECT_THROW(whole_number<std::uint32_t>(json::parse(text)), json::out_of_range) << text;
  EXPECT_THROW(whole_number<long>(json::parse("9223372036854775808")), json::out_of_range);
  EXPECT_THROW(whole_number<std::int8_t>(json(-129)), json::out_of_range);
}

TEST(ParseJson, SaysWhyATextIsNoDocument) {
  const auto why = [](std::string_view text, JsonBounds bounds = {}) {
    const auto document = parse_json(text, bounds);
    return document ? "is a document" : document.error().text();
  };
  EXPECT_EQ(why(R"({"a":[1,2]})"), "is a document");
  EXPECT_EQ(why(R"({"a":1}})"), "is not JSON, from byte 8 on");
  EXPECT_EQ(why(""), "is not JSON, from byte 1 on");
  EXPECT_EQ(why("[1e999]"), "has a number that is too large");
  EXPECT_EQ(why("\"\xff\""), "is not JSON, from byte 2 on");
  EXPECT_EQ(why("[1]", {.bytes = 2}), "is too long");
  EXPECT_EQ(why("[[1]]", {.depth = 1}), "nests too deep");
  EXPECT_EQ(why("[[1]]", {.depth = 2}), "is a document");
  EXPECT_EQ(why(std::string(1'000'000, '[')), "nests too deep");
}

TEST(ParseJson, CountsNoBracketsWithinTexts) {
  EXPECT_TRUE(parse_json(R"(["[[[","\"[[[","\\"])", {.depth = 1}));
  EXPECT_FALSE(parse_json(R"(["\\",[1]])", {.depth = 1}));
}

TEST(JsonText, HasAFormForEachReader) {
  const json document{{"b", "\u00e9"}, {"a", {1}}};
  EXPECT_EQ(json_text(document), "{\"a\":[1],\"b\":\"\u00e9\"}");
  EXPECT_EQ(json_text(document, JsonForm::compact_ascii), "{\"a\":[1],\"b\":\"\\u00e9\"}");
  EXPECT_EQ(json_text(document, JsonForm::pretty), "{\n  \"a\": [\n    1\n  ],\n  \"b\": \"\u00e9\"\n}\n");
  EXPECT_EQ(json_text(json{{"b", "\u00e9"}}, JsonForm::pretty_ascii), "{\n  \"b\": \"\\u00e9\"\n}\n");
  EXPECT_EQ(json_text(nlohmann::ordered_json{{"b", 1}, {"a", 2}}), "{\"b\":1,\"a\":2}");
}

TEST(JsonText, ReplacesBytesThatAreNoText) {
  EXPECT_EQ(json_text(json("a\xff")), "\"a\uFFFD\"");
}

TEST(ReadDocument, EndsExceptionsAsTheReadersError) {
  const auto damaged = [](std::string because) {
    return fail(ErrorCode::point_damaged, "read", "it", std::move(because));
  };
  const auto number = [&](const json& document) {
    return read_document(
        [&]() -> Result<int> {
          const int found = whole_number<int>(document.at("n"));
          if (found == 0) throw BadDocument{"it is nothing"};
          if (found < 0) return fail(ErrorCode::used_wrongly, "read", "it");
          return found;
        },
        damaged);
  };
  EXPECT_EQ(number({{"n", 3}}), 3);
  EXPECT_EQ(number({{"n", 0}}).error().because, "it is nothing");
  EXPECT_EQ(number({{"n", -1}}).error().code, ErrorCode::used_wrongly);
  EXPECT_EQ(number({{"n", "x"}}).error().code, ErrorCode::point_damaged);
  EXPECT_EQ(number({{"m", 1}}).error().code, ErrorCode::point_damaged);
}

}  // namespace
}  // namespace cairn
