// SPDX-License-Identifier: GPL-3.0-or-later
// The index and packs that are retired, dropped and listed anew.
#include "fs/store/index/index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/fs/store/index/index_fixture.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using testing::UnorderedElementsAreArray;

TEST_F(Indexing, WritersDoNotFindWhatIsInARetiredPackAndReadersDo) {
  const auto index = make();
  const IndexedPack packs[] = {pack_of(1, 0, 100), pack_of(2, 100, 100)};
  expect_ok(index->add(packs));
  const PackNumber first = value_of(index->packs()).at(0).number;
  expect_ok(index->retire({&first, 1}, Retired::unneeded));
  EXPECT_EQ(missing(*index, 0, 200), 100U);
  EXPECT_FALSE(value_of(index->find(name_of(7))));
  EXPECT_EQ(value_of(index->locate(name_of(7)))->pack_name, packs[0].name);
  EXPECT_EQ(value_of(index->packs()).at(0).retired, Retired::unneeded);
  EXPECT_EQ(value_of(index->packs()).at(1).retired, Retired::no);
}

TEST_F(Indexing, AnotherPackTakesOverFromARetiredOne) {
  const auto index = make();
  const IndexedPack old_pack = pack_of(1, 0, 100);
  expect_ok(index->add({&old_pack, 1}));
  const PackNumber number = 0;
  const IndexedPack half = pack_of(2, 0, 50);
  expect_ok(index->retire({&number, 1}, Retired::damaged, {&half, 1}));
  EXPECT_EQ(missing(*index, 0, 100), 50U);
  EXPECT_EQ(value_of(index->locate(name_of(7)))->pack_name, half.name);
  EXPECT_EQ(value_of(index->locate(name_of(70)))->pack_name, old_pack.name);
  // Stored anew by a later backup: that one counts.
  const IndexedPack rest = pack_of(3, 50, 50);
  expect_ok(index->add({&rest, 1}));
  EXPECT_EQ(value_of(index->locate(name_of(70)))->pack_name, rest.name);
  expect_ok(index->drop({&number, 1}));
  EXPECT_EQ(missing(*index, 0, 100), 0U);
  EXPECT_EQ(value_of(index->record_count()), 100U);
  EXPECT_THAT(pack_names(*index), UnorderedElementsAreArray({half.name, rest.name}));
}

TEST_F(Indexing, APackThatIsListedAnewCountsAgainUnderANewNumber) {
  const auto index = make();
  const IndexedPack packs[] = {pack_of(1, 0, 100), pack_of(2, 100, 100)};
  expect_ok(index->add(packs));
  const PackNumber first = 0;
  const IndexedPack half = pack_of(3, 0, 50);
  expect_ok(index->retire({&first, 1}, Retired::damaged, {&half, 1}));
  EXPECT_EQ(missing(*index, 0, 200), 50U);
  expect_ok(index->relist(first, packs[0]));
  EXPECT_EQ(missing(*index, 0, 200), 0U);
  EXPECT_EQ(value_of(index->locate(name_of(7)))->pack_name, half.name);
  EXPECT_EQ(value_of(index->locate(name_of(70)))->pack_name, packs[0].name);
  EXPECT_EQ(value_of(index->packs()).back().number, 3U);
  EXPECT_EQ(value_of(index->packs()).back().retired, Retired::no);
  EXPECT_EQ(value_of(index->packs()).size(), 3U);
  EXPECT_EQ(value_of(index->record_count()), 200U);
}

TEST_F(Indexing, ADroppedPackIsForgottenWithoutANewEpoch) {
  const auto index = make();
  const IndexedPack packs[] = {pack_of(1, 0, 100), pack_of(2, 100, 100)};
  expect_ok(index->add(packs));
  const std::string epoch = value_of(index->epoch());
  const PackNumber first = 0;
  expect_ok(index->retire({&first, 1}, Retired::unneeded));
  expect_ok(index->drop({&first, 1}));
  EXPECT_EQ(value_of(index->epoch()), epoch);
  EXPECT_FALSE(value_of(index->locate(name_of(7))));
  EXPECT_EQ(value_of(index->record_count()), 100U);
  // The same pack, put back: under a new number.
  expect_ok(index->add({packs, 1}));
  EXPECT_EQ(missing(*index, 0, 200), 0U);
  EXPECT_EQ(value_of(index->packs()).back().number, 2U);
}

// Also when they stay in their runs for long, as they do in a large index.
class IndexingGone : public Indexing, public testing::WithParamInterface<Index::Tidy> {};

TEST_P(IndexingGone, MergesLeaveOutEntriesOfPacksThatAreGone) {
  const auto index = make();
  std::vector<IndexedPack> packs;
  for (std::uint64_t number = 0; number < 60; ++number) {
    // Each overlaps the one before: what that had and is gone must be found here.
    const IndexedPack pack = pack_of(number + 1, number * 500, 1000);
    packs.push_back(pack);
    expect_ok(index->add({&pack, 1}));
    if (number % 3 != 2) continue;
    const auto before = value_of(index->packs());
    const auto row = std::ranges::find(before, packs[number - 1].name, &PackRow::name);
    ASSERT_NE(row, before.end());
    const IndexedPack again = pack_of(1000 + number, (number - 1) * 500, 1000);
    expect_ok(index->retire({&row->number, 1}, Retired::unneeded, {&again, 1}));
    expect_ok(index->drop({&row->number, 1}, GetParam()));
    EXPECT_EQ(missing(*index, (number - 1) * 500, 1000), 0U);
  }
  const auto rows = value_of(index->packs());
  for (std::uint64_t name = 0; name < 60 * 500; ++name) {
    const auto located = value_of(index->locate(name_of(name)));
    ASSERT_TRUE(located) << name;
    ASSERT_TRUE(std::ranges::any_of(rows, [&](const PackRow& row) { return row.name == located->pack_name; })) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Tidy, IndexingGone, testing::Values(Index::Tidy::now, Index::Tidy::later),
                         [](const auto& test) { return test.param == Index::Tidy::now ? "Now" : "Later"; });

// A backup's pack writer and a collection change the index at the same time, and merges take several transactions.
TEST_F(Indexing, ThreadsThatChangeItDoNotTakeEachOthersMergesAway) {
  const auto index = make();
  constexpr std::uint64_t kPacks = 40;
  constexpr std::uint64_t kNames = 8000;  // so that merges are of more than one slice
  const auto add_all = [&](std::uint64_t thread) {
    for (std::uint64_t i = 0; i < kPacks; ++i) {
      const std::uint64_t number = thread * kPacks + i;
      const IndexedPack pack = pack_of(number, number * kNames, kNames);
      expect_ok(index->add({&pack, 1}));
    }
  };
  {
    std::jthread one([&] { add_all(0); });
    std::jthread other([&] { add_all(1); });
    for (int i = 0; i < 20; ++i) {
      const IndexedPack extra =
          pack_of(1'000'000 + static_cast<std::uint64_t>(i), 50'000'000 + 10U * static_cast<std::uint64_t>(i), 10);
      expect_ok(index->add({&extra, 1}));
      const auto rows = value_of(index->packs());
      const auto row = std::ranges::find(rows, extra.name, &PackRow::name);
      ASSERT_NE(row, rows.end());
      expect_ok(index->retire({&row->number, 1}, Retired::unneeded));
      expect_ok(index->drop({&row->number, 1}));
    }
  }
  EXPECT_EQ(missing(*index, 0, 2 * kPacks * kNames), 0U);
  EXPECT_EQ(value_of(index->record_count()), 2 * kPacks * kNames);
}

}  // namespace
}  // namespace cairn
