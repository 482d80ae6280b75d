// SPDX-License-Identifier: GPL-3.0-or-later
// The one cache of what was used last: bounds in number and cost, order of use, and what it hands back.
#include "config/base/lru.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "config/base/guarded.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<int> keys_of(const Lru<int, std::string>::Entries& entries) {
  std::vector<int> keys;
  for (const auto& entry : entries) keys.push_back(entry.key);
  return keys;
}

TEST(Lru, PushesOutWhatWasUsedLongestAgo) {
  Lru<int, std::string> lru({.entries = 2});
  EXPECT_THAT(keys_of(lru.keep(1, "one")), IsEmpty());
  EXPECT_THAT(keys_of(lru.keep(2, "two")), IsEmpty());
  ASSERT_NE(lru.find(1), nullptr);
  EXPECT_EQ(*lru.find(1), "one");
  EXPECT_THAT(keys_of(lru.keep(3, "three")), ElementsAre(2));
  EXPECT_EQ(lru.find(2), nullptr);
  EXPECT_EQ(lru.size(), 2U);
}

TEST(Lru, IsBoundedByCost) {
  Lru<int, std::string> lru({.cost = 10});
  lru.keep(1, "a", 4);
  lru.keep(2, "b", 4);
  EXPECT_EQ(lru.cost(), 8U);
  EXPECT_THAT(keys_of(lru.keep(3, "c", 9)), ElementsAre(1, 2)) << "the longest unused first";
  EXPECT_EQ(lru.cost(), 9U);
  EXPECT_THAT(keys_of(lru.keep(4, "d", 11)), ElementsAre(4)) << "too large alone, it pushes nothing out";
  EXPECT_NE(lru.find(3), nullptr);
  EXPECT_EQ(lru.cost(), 9U);
  Lru<int, std::string> none({.entries = 0});
  EXPECT_THAT(keys_of(none.keep(1, "a")), ElementsAre(1));
  EXPECT_EQ(none.size(), 0U);
}

TEST(Lru, AKeyThatIsThereKeepsItsValue) {
  Lru<int, std::string> lru({.entries = 2, .cost = 10});
  lru.keep(1, "first", 3);
  EXPECT_THAT(keys_of(lru.keep(1, "second", 5)), IsEmpty());
  EXPECT_EQ(*lru.find(1), "first");
  EXPECT_EQ(lru.cost(), 3U);
}

TEST(Lru, GivesUpWhatItIsToldTo) {
  Lru<int, std::string> lru;
  for (int key = 1; key <= 5; ++key) lru.keep(key, key % 2 == 0 ? "even" : "odd", 1);
  EXPECT_THAT(keys_of(lru.drop(1)), ElementsAre(1));
  EXPECT_THAT(keys_of(lru.drop(1)), IsEmpty());
  EXPECT_THAT(keys_of(lru.drop_if([](const std::string& value) { return value == "even"; })), ElementsAre(4, 2));
  EXPECT_EQ(lru.size(), 2U);
  EXPECT_EQ(lru.cost(), 2U);
  EXPECT_THAT(keys_of(lru.clear()), ElementsAre(5, 3));
  EXPECT_EQ(lru.size(), 0U);
  EXPECT_EQ(lru.cost(), 0U);
  lru.keep(3, "again", 1);
  EXPECT_EQ(*lru.find(3), "again");
}

TEST(Lru, WhatIsPushedOutLivesAsLongAsTheCallerWants) {
  const auto value = std::make_shared<int>(7);
  Guarded lru(Lru<int, std::shared_ptr<int>>({.entries = 1}));
  lru.lock()->keep(1, value);
  {
    const auto out = lru.lock()->keep(2, nullptr);
    EXPECT_EQ(value.use_count(), 2);
  }
  EXPECT_EQ(value.use_count(), 1);
}

}  // namespace
}  // namespace cairn
