// SPDX-License-Identifier: GPL-3.0-or-later
// The index against a plain map, its runs and filters, what a crash leaves, and indexes of the first version.
#include "fs/store/index/index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lmdb.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include "fs/store/index/index_runs.h"
#include "tests/fs/store/index/index_fixture.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using testing::UnorderedElementsAreArray;

TEST_F(Indexing, KnowsWhatAMapKnows) {
  constexpr std::uint64_t kRecords = 20'000;
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  std::map<std::uint64_t, std::string> known;  // record -> the pack that had it first
  std::vector<std::string> packs;
  auto index = make();
  for (std::uint64_t round = 0; round < 60; ++round) {
    std::vector<IndexedPack> batch;
    for (std::uint64_t i = 0; i < 1 + random() % 3; ++i) {
      const std::uint64_t first = random() % kRecords;
      batch.push_back(pack_of(round * 10 + i, first, 1 + random() % 600));
      packs.push_back(batch.back().name);
      for (std::uint64_t record = 0; record < batch.back().records.size(); ++record)
        known.try_emplace(first + record, packs.back());
    }
    expect_ok(index->add(batch));
    if (round % 20 == 10) {  // packs vanish now and then, with what is in them
      const std::string gone = packs[random() % packs.size()];
      expect_ok(index->forget({&gone, 1}));
      std::erase(packs, gone);
      std::erase_if(known, [&](const auto& entry) { return entry.second == gone; });
    }
    if (round % 20 == 15) {
      index.reset();
      index = open();
    }
  }
  EXPECT_THAT(pack_names(*index), UnorderedElementsAreArray(packs));
  EXPECT_EQ(value_of(index->record_count()), known.size());
  for (std::uint64_t record = 0; record < kRecords + 700; ++record) {
    const auto located = value_of(index->locate(name_of(record)));
    const auto expected = known.find(record);
    ASSERT_EQ(located.has_value(), expected != known.end()) << record;
    EXPECT_EQ(value_of(index->find(name_of(record))).has_value(), located.has_value());
    if (located) {
      EXPECT_EQ(located->pack_name, expected->second);
    }
  }
}

TEST_F(Indexing, MergesWhatTakesSeveralTransactions) {
  constexpr std::uint64_t kTogether = 65'536;
  const auto index = make();
  for (std::uint64_t i = 0; i < 5; ++i) {
    const IndexedPack pack = pack_of(i, i * kTogether, kTogether);
    expect_ok(index->add({&pack, 1}));
  }
  EXPECT_EQ(value_of(index->record_count()), 5 * kTogether);
  EXPECT_EQ(missing(*index, 0, 5 * kTogether), 0U);
  EXPECT_EQ(missing(*index, 1'000'000, 1000), 1000U);
}

TEST_F(Indexing, AReaderSeesWhatIsAddedMeanwhile) {
  const auto index = make();
  for (std::uint64_t i = 0; i < 50; ++i) {  // each a run of its own, merged now and then
    EXPECT_EQ(missing(*index, i * 10, 10), 10U);
    const IndexedPack pack = pack_of(i, i * 10, 10);
    expect_ok(index->add({&pack, 1}));
    EXPECT_EQ(missing(*index, 0, (i + 1) * 10), 0U);
  }
}

// The filters of small runs share pages with what a merge writes over several transactions.
TEST_F(Indexing, AReaderMissesNothingWhileRunsAreMerged) {
  const auto index = make();
  constexpr std::uint64_t kSmall = 10, kLarge = 200'000;
  std::uint64_t next = 1'000'000;
  for (std::uint64_t run = 0; run < 3; ++run, next += kLarge) {
    const IndexedPack pack = pack_of(100 + run, next, kLarge);
    expect_ok(index->add({&pack, 1}));
  }
  const IndexedPack small = pack_of(1, 0, kSmall);
  expect_ok(index->add({&small, 1}));
  ASSERT_EQ(missing(*index, 0, kSmall), 0U);
  std::atomic<std::uint64_t> lost = 0, looks = 0;
  {
    std::jthread reader([&](const std::stop_token& stop) {
      while (!stop.stop_requested() || looks < 100) {
        lost += missing(*index, 0, kSmall);
        ++looks;
      }
    });
    const IndexedPack last = pack_of(200, next, kLarge);
    expect_ok(index->add({&last, 1}));  // four of a size: merged
  }
  EXPECT_EQ(lost, 0U) << "in " << looks << " looks";
  EXPECT_EQ(missing(*index, 1'000'000, 4 * kLarge), 0U);
}

TEST_F(Indexing, TakesAwayWhatAnInterruptedMergeLeft) {
  static_cast<void>(make());
  {
    RawIndex raw(folder());
    Buffer unfinished;
    append_le(unfinished, std::uint32_t{5});   // slot
    append_le(unfinished, std::uint32_t{77});  // run
    raw.put(raw.table("about"), as_bytes("unfinished-run"), unfinished);
    raw.put(raw.table("run-5"), name_of(1).view(), Buffer(24, 1));
    raw.put(raw.table("filters"), Buffer{0, 0, 0, 77, 0, 0, 0, 0}, Buffer(64, 1));
    raw.put(raw.table("filters"), Buffer{0, 0, 0, 78, 0, 0, 0, 0}, Buffer(64, 1));  // of another run
  }
  const IndexedPack pack = pack_of(1, 100, 10);
  {
    const auto index = open();
    EXPECT_EQ(missing(*index, 1, 1), 1U);  // half a run is no part of the index
    expect_ok(index->add({&pack, 1}));
    EXPECT_EQ(missing(*index, 100, 10), 0U);
  }
  RawIndex raw(folder());
  EXPECT_EQ(raw.entries(raw.table("run-5")), 0U);
  EXPECT_EQ(raw.entries(raw.table("filters")), 2U);  // run 78's, and that of the run just added
}

// Killed again and again while it adds and merges: what add() has returned for is there.
TEST_F(Indexing, LosesNothingWhenTheProcessIsKilled) {
  constexpr std::uint64_t kTogether = 20'000;
  static_cast<void>(make());
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  std::uint64_t added = 0;
  for (unsigned round = 0; round < 8; ++round) {
    int reports[2];
    ASSERT_EQ(::pipe(reports), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const auto index = Index::open(folder(), kStore);
      for (std::uint64_t i = added; index; ++i) {
        const IndexedPack pack = pack_of(i, i * kTogether, kTogether);
        if (!(*index)->add({&pack, 1}) || ::write(reports[1], "+", 1) != 1) break;
      }
      ::_exit(1);
    }
    ::close(reports[1]);
    const std::uint64_t wanted = 1 + random() % 5;
    char report = 0;
    for (std::uint64_t i = 0; i < wanted; ++i) ASSERT_EQ(::read(reports[0], &report, 1), 1);
    for (std::uint64_t i = random() % 20'000; i != 0; --i) ::sched_yield();  // somewhere in the next one
    ::kill(child, SIGKILL);
    while (::read(reports[0], &report, 1) == 1) ++added;
    added += wanted;
    ::close(reports[0]);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    const auto index = open();
    EXPECT_EQ(missing(*index, 0, added * kTogether), 0U);
    added = pack_names(*index).size();  // the last may have come in without a report
    EXPECT_EQ(value_of(index->record_count()), added * kTogether);
  }
}

TEST_F(Indexing, ANumberOfAnEarlierVersionThatWentBadIsDamageAndWritesNothing) {
  static_cast<void>(make());
  for (const std::uint32_t version : {1U, 2U}) {
    {
      RawIndex raw(folder());
      Buffer whose;
      append_le(whose, version);
      append(whose, kStore);
      raw.put(raw.table("about"), as_bytes("about"), whose);
    }
    const auto read = [&] {
      std::ifstream file(folder() / "data.mdb", std::ios::binary);
      return std::string(std::istreambuf_iterator<char>(file), {});
    };
    const std::string before = read();
    const auto opened = Index::open(folder(), kStore);
    ASSERT_FALSE(opened) << version;
    EXPECT_EQ(opened.error().code, ErrorCode::index_damaged);
    EXPECT_EQ(read(), before) << version;
  }
}

TEST_F(Indexing, GoesOnWithAnIndexOfTheFirstVersion) {
  IndexedPack old_pack = pack_of(1, 0, 3000);
  {
    RawIndex raw(folder());
    Buffer whose;
    append_le(whose, std::uint32_t{1});
    append(whose, kStore);
    raw.put(raw.table("about"), as_bytes("about"), whose);
    Buffer number;
    append_le(number, std::uint32_t{0});
    Buffer next;
    append_le(next, std::uint32_t{1});
    raw.put(raw.table("about"), as_bytes("next-pack"), next);
    Buffer facts(16);
    append(facts, as_bytes(old_pack.name));
    raw.put(raw.table("packs", MDB_CREATE | MDB_INTEGERKEY), number, facts);
    raw.put(raw.table("pack-numbers"), as_bytes(old_pack.name), number);
    Buffer entry(24);
    entry[20] = 1;  // a chunk
    for (const PackRecord& record : old_pack.records) raw.put(raw.table("chunks"), record.name.view(), entry);
  }
  for (std::uint64_t opened = 0; opened < 6; ++opened) {
    const auto index = open();
    EXPECT_EQ(value_of(index->record_count()), 3000 * (opened + 1));
    EXPECT_EQ(missing(*index, 0, 3000 * (opened + 1)), 0U);
    EXPECT_EQ(value_of(index->locate(name_of(17)))->pack_name, old_pack.name);
    expect_ok(index->add({&old_pack, 1}));  // is known
    const IndexedPack pack = pack_of(opened + 2, 3000 * (opened + 1), 3000);
    expect_ok(index->add({&pack, 1}));
  }
}

// --- packs on their way out

TEST_F(Indexing, RemembersWhenPacksWereVerified) {
  const auto index = make();
  const IndexedPack packs[] = {pack_of(1, 0, 10), pack_of(2, 100, 10)};
  expect_ok(index->add(packs));
  const std::vector<PackNumber> both{0, 1};
  EXPECT_FALSE(value_of(index->verified(both))[0]);
  const PackNumber unknown = 9;
  expect_ok(index->set_verified({&both[1], 1}, test_time(5)));
  expect_ok(index->set_verified({&unknown, 1}, test_time(5)));
  EXPECT_EQ(value_of(index->verified(both)), (std::vector<std::optional<UtcTime>>{std::nullopt, test_time(5)}));
  EXPECT_FALSE(value_of(index->verified({&unknown, 1}))[0]);
  expect_ok(index->retire({&both[1], 1}, Retired::unneeded));
  expect_ok(index->drop({&both[1], 1}));
  EXPECT_FALSE(value_of(index->verified(both))[1]);
}

TEST_F(Indexing, AListOrFilterThatIsNotWholeIsDamage) {
  const IndexedPack pack = pack_of(1, 0, 1000);
  {
    expect_ok(make()->add({&pack, 1}));
  }
  {
    RawIndex raw(folder());
    raw.put(raw.table("filters"), Buffer{0, 0, 0, 1, 0, 0, 0, 0}, Buffer(63, 1));
  }
  EXPECT_EQ(open()->find(name_of(1)).error().code, ErrorCode::index_damaged);
  {
    RawIndex raw(folder());
    raw.put(raw.table("about"), as_bytes("runs"), Buffer(25, 1));
  }
  EXPECT_EQ(open()->find(name_of(1)).error().code, ErrorCode::index_damaged);
  EXPECT_EQ(open()->add({&pack, 1}).error().code, ErrorCode::index_damaged);
}

// --- runs as values
// ----------------------------------------------------------------------------------------------------
TEST(IndexRuns, AreFewAndWriteANameSeldom) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  std::vector<RunFacts> runs;
  std::uint64_t names = 0;
  std::uint64_t written = 0;
  std::size_t most = 0;
  for (std::uint32_t id = 1; id < 6000; ++id) {
    const std::uint64_t batch = random() % 3 == 0 ? 1 + random() % 500 : 65'536;
    runs.push_back({id, free_slot(runs).value(), batch, filter_blocks_for(batch)});
    names += batch;
    written += batch;
    for (auto sources = choose_merge(runs); !sources.empty(); sources = choose_merge(runs)) {
      ASSERT_GE(sources.size(), 2U);
      RunFacts merged{id, free_slot(runs).value(), 0, 0};
      for (const RunFacts& source : sources) {
        merged.names += source.names;
        ASSERT_EQ(std::erase(runs, source), 1U);
      }
      written += merged.names;
      runs.push_back(merged);
    }
    most = std::max(most, runs.size());
  }
  std::uint64_t kept = 0;
  for (const RunFacts& run : runs) kept += run.names;
  EXPECT_EQ(kept, names);
  EXPECT_LE(most, 28U);           // three of each of nine classes, and the newest
  EXPECT_LE(written, 8 * names);  // log4 of 260 million / 65,536, and the small ones
  EXPECT_EQ(decode_runs(encode_runs(runs)), runs);
}

TEST(IndexRuns, AlwaysLeaveTwoSlotsFree) {
  std::vector<RunFacts> runs;
  std::uint64_t names = 1;
  for (std::uint32_t slot = 0; slot < kRunSlots - 2; ++slot, names += names / 2 + 1)
    runs.push_back({slot, slot, names, 1});
  for (auto sources = choose_merge(runs); !sources.empty(); sources = choose_merge(runs)) {
    for (const RunFacts& source : sources) std::erase(runs, source);
    runs.push_back({100, sources[0].slot, 1, 1});
  }
  EXPECT_LE(runs.size(), kRunSlots - 2);
  EXPECT_FALSE(decode_runs(Buffer(23)));
  const std::vector<RunFacts> twice = {{1, 3, 5, 1}, {2, 3, 5, 1}};
  EXPECT_FALSE(decode_runs(encode_runs(twice)));
  const RunFacts beyond{1, kRunSlots, 5, 1};
  EXPECT_FALSE(decode_runs(encode_runs({&beyond, 1})));
}

TEST(IndexFilter, HoldsWhatWasAddedAndLittleElse) {
  constexpr std::uint64_t kNames = 100'000;
  const std::uint64_t blocks = filter_blocks_for(kNames);
  Buffer filter(blocks * kFilterBlockBytes);
  const auto block_of = [&](const ChunkName& name) {
    const std::uint64_t block = filter_block_of(name, blocks);
    EXPECT_LT(block, blocks);
    return std::span<std::uint8_t, kFilterBlockBytes>(filter.data() + block * kFilterBlockBytes, kFilterBlockBytes);
  };
  for (std::uint64_t i = 0; i < kNames; ++i) add_to_filter(block_of(name_of(i)), name_of(i));
  std::uint64_t lost = 0;
  std::uint64_t wrong = 0;
  for (std::uint64_t i = 0; i < kNames; ++i) {
    lost += may_hold(block_of(name_of(i)), name_of(i)) ? 0U : 1U;
    wrong += may_hold(block_of(name_of(kNames + i)), name_of(kNames + i)) ? 1U : 0U;
  }
  EXPECT_EQ(lost, 0U);
  EXPECT_LT(wrong, kNames / 50);
}

TEST(IndexFilter, ItsBlocksFollowTheOrderOfNames) {
  std::vector<ChunkName> names;
  for (std::uint64_t i = 0; i < 5000; ++i) names.push_back(name_of(i));
  std::ranges::sort(names);
  names.front().bytes.fill(0);
  names.back().bytes.fill(0xff);
  EXPECT_EQ(filter_block_of(names.front(), 777), 0U);
  EXPECT_EQ(filter_block_of(names.back(), 777), 776U);
  EXPECT_TRUE(std::ranges::is_sorted(names, {}, [](const ChunkName& name) { return filter_block_of(name, 777); }));
}

}  // namespace
}  // namespace cairn
