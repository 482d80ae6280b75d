// SPDX-License-Identifier: GPL-3.0-or-later
// The chunk cache: bounds, single flight, failures.
#include "fs/mount/chunk_cache.h"

#include <gmock/gmock.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <new>
#include <random>
#include <thread>

#include "tests/fs/mount/fake_points.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using test::FakeChunks;

constexpr std::uint32_t kChunk = 4096;

struct Cache {
  explicit Cache(std::uint64_t limit, std::uint32_t chunk_size = kChunk) : cache(chunks, limit, chunk_size) {
    for (std::uint64_t i = 0; i < 200; ++i)
      chunks.put(FakeChunks::name(i), Buffer(kChunk, static_cast<std::uint8_t>(i)));
  }
  Result<SharedBuffer> get(std::uint64_t i, RecordKind kind = RecordKind::chunk) {
    return cache.fetch(kind, FakeChunks::name(i));
  }
  FakeChunks chunks;
  ChunkCache cache;
};

TEST(ChunkCache, AnswersAgainWithoutAskingTheStore) {
  Cache t(1 << 20);
  const auto first = t.get(7);
  const auto second = t.get(7);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(*first, *second);
  EXPECT_EQ((**first)[0], 7);
  EXPECT_EQ(t.chunks.fetches, 1);
  EXPECT_EQ(t.cache.counters().hits, 1U);
}

TEST(ChunkCache, ManyAtOnceAreEachDeliveredOnceAndAskedForOnce) {
  Cache t(1 << 20);
  ASSERT_TRUE(t.get(3));
  t.chunks.damage(FakeChunks::name(5));
  std::vector<ChunkName> names;
  for (const std::uint64_t i : {3, 4, 5, 6, 4, 5, 500}) names.push_back(FakeChunks::name(i));
  std::map<std::size_t, std::string> seen;
  t.cache.fetch_all(RecordKind::chunk, names, [&](std::size_t i, Result<SharedBuffer> outcome) {
    EXPECT_FALSE(seen.contains(i)) << i;
    seen[i] = outcome ? std::to_string((**outcome)[0]) : std::string(outcome.error().name());
  });
  EXPECT_THAT(seen,
              testing::ElementsAre(testing::Pair(0, "3"), testing::Pair(1, "4"), testing::Pair(2, "chunk-damaged"),
                                   testing::Pair(3, "6"), testing::Pair(4, "4"), testing::Pair(5, "chunk-damaged"),
                                   testing::Pair(6, "chunk-missing")));
  EXPECT_EQ(t.chunks.fetches, 1 + 4);  // 4, 5, 6, 500
  // What failed is asked for again, what is there is not.
  t.chunks.repair(FakeChunks::name(5));
  EXPECT_TRUE(t.get(5));
  EXPECT_TRUE(t.get(6));
  EXPECT_EQ(t.chunks.fetches, 1 + 4 + 1);
}

TEST(ChunkCache, ManyAtOnceByManyThreadsNeverWaitInARing) {
  Cache t(1 << 20);
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (unsigned thread = 0; thread < 8; ++thread)
      threads.emplace_back([&, thread] {
        std::mt19937 random(thread);
        for (int round = 0; round < 300; ++round) {
          std::vector<ChunkName> names;
          std::vector<std::uint64_t> numbers;
          for (int i = 0; i < 20; ++i) names.push_back(FakeChunks::name(numbers.emplace_back(random() % 200)));
          std::size_t delivered = 0;
          t.cache.fetch_all(RecordKind::chunk, names, [&](std::size_t i, Result<SharedBuffer> outcome) {
            ++delivered;
            if (!outcome || (**outcome)[0] != static_cast<std::uint8_t>(numbers[i])) ++wrong;
          });
          if (delivered != names.size()) ++wrong;
        }
      });
  }
  EXPECT_EQ(wrong, 0);
}

TEST(ChunkCache, ManyAtOnceAreAllDeliveredWhenTheSourceThrows) {
  Cache t(1 << 20);
  int calls = 0;
  t.chunks.while_fetching = [&] {
    if (++calls == 2) throw std::bad_alloc();
  };
  std::vector<ChunkName> names;
  for (std::uint64_t i = 0; i < 4; ++i) names.push_back(FakeChunks::name(i));
  std::vector<std::string> seen(4);
  t.cache.fetch_all(RecordKind::chunk, names, [&](std::size_t i, Result<SharedBuffer> outcome) {
    EXPECT_EQ(seen[i], "");
    seen[i] = outcome ? "there" : std::string(outcome.error().name());
  });
  EXPECT_THAT(seen, testing::ElementsAre("there", "out-of-memory", "out-of-memory", "out-of-memory"));
  EXPECT_TRUE(t.get(3));
}

TEST(ChunkCache, NeverKeepsMoreThanItsLimit) {
  for (const std::uint64_t limit : {0UL, 1UL, 5000UL, 20000UL, 100000UL, 300000UL}) {
    Cache t(limit);
    std::mt19937_64 random(42);
    for (int i = 0; i < 3000; ++i) {
      const std::uint64_t number = random() % 200;
      const auto got = t.get(number, random() % 4 == 0 ? RecordKind::node : RecordKind::chunk);
      ASSERT_TRUE(got);
      EXPECT_EQ((**got)[100], static_cast<std::uint8_t>(number));
      ASSERT_LE(t.cache.counters().bytes, limit);
    }
    if (limit >= 20000) {
      EXPECT_GT(t.cache.counters().hits, 0U) << limit;
    }
  }
}

TEST(ChunkCache, GivesUpTheLeastRecentlyUsed) {
  Cache t(8 * 5000, 1 << 20);  // one shard: its order is the order of all
  for (std::uint64_t i = 0; i < 8; ++i) ASSERT_TRUE(t.get(i));
  ASSERT_TRUE(t.get(1));
  for (std::uint64_t i = 8; i < 12; ++i) ASSERT_TRUE(t.get(i));
  const int before = t.chunks.fetches;
  ASSERT_TRUE(t.get(1));
  EXPECT_EQ(t.chunks.fetches, before);
  ASSERT_TRUE(t.get(0));
  EXPECT_EQ(t.chunks.fetches, before + 1);
}

TEST(ChunkCache, ReadingADiskThroughDoesNotPushOutTheNodes) {
  Cache t(32 * kChunk * 8);
  ASSERT_TRUE(t.get(199, RecordKind::node));
  for (std::uint64_t i = 0; i < 199; ++i) ASSERT_TRUE(t.get(i));
  const int before = t.chunks.fetches;
  ASSERT_TRUE(t.get(199, RecordKind::node));
  EXPECT_EQ(t.chunks.fetches, before);
}

TEST(ChunkCache, ANodeAndAChunkOfOneNameAreTwoThings) {
  Cache t(1 << 20);
  ASSERT_TRUE(t.get(1, RecordKind::node));
  ASSERT_TRUE(t.get(1, RecordKind::chunk));
  EXPECT_EQ(t.chunks.fetches, 2);
}

TEST(ChunkCache, DecodesOnceHoweverManyAsk) {
  constexpr unsigned kThreads = 8;
  Cache t(1 << 20);
  // The first fetch stays under way until all the others wait for it.
  t.chunks.while_fetching = [&] {
    while (t.cache.counters().waits < kThreads - 1) std::this_thread::yield();
  };
  std::vector<std::thread> threads;
  std::atomic<unsigned> right = 0;
  for (unsigned i = 0; i < kThreads; ++i)
    threads.emplace_back([&] {
      const auto got = t.get(5);
      if (got && (**got)[0] == 5) ++right;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(t.chunks.fetches, 1);
  EXPECT_EQ(right, kThreads);
}

TEST(ChunkCache, APartComesFromTheChunkThatIsThereAndIsNotKept) {
  Cache t(1 << 20);
  Buffer part(100);
  expect_ok(t.cache.fetch_part(FakeChunks::name(7), kChunk, 50, part));
  EXPECT_EQ(part, Buffer(100, 7));
  EXPECT_EQ(t.chunks.fetches, 1);
  EXPECT_EQ(t.cache.counters().entries, 0U);
  EXPECT_TRUE(t.get(7));
  expect_ok(t.cache.fetch_part(FakeChunks::name(7), kChunk, kChunk - 100, part));
  EXPECT_EQ(t.chunks.fetches, 2) << "it was there";
  EXPECT_EQ(t.cache.fetch_part(FakeChunks::name(7), kChunk - 1, 0, part).error().code, ErrorCode::map_damaged);
  EXPECT_EQ(t.cache.fetch_part(FakeChunks::name(1000), kChunk, 0, part).error().code, ErrorCode::chunk_missing);
}

TEST(ChunkCache, APartOfAChunkThatIsOnItsWayWaitsForIt) {
  Cache t(1 << 20);
  t.chunks.while_fetching = [&] {
    while (t.cache.counters().waits < 1) std::this_thread::yield();
  };
  std::thread whole([&] { EXPECT_TRUE(t.get(5)); });
  while (t.chunks.fetches == 0) std::this_thread::yield();
  Buffer part(10);
  expect_ok(t.cache.fetch_part(FakeChunks::name(5), kChunk, 0, part));
  whole.join();
  EXPECT_EQ(part, Buffer(10, 5));
  EXPECT_EQ(t.chunks.fetches, 1);
}

TEST(ChunkCache, OneSlowChunkHoldsUpNoOther) {
  Cache t(8 * 5000, 1 << 20);  // one shard
  std::mutex mutex;
  std::condition_variable changed;
  bool fetching = false;
  bool released = false;
  t.chunks.while_fetching = [&] {
    std::unique_lock lock(mutex);
    if (fetching) return;  // only the first is slow
    fetching = true;
    changed.notify_all();
    changed.wait(lock, [&] { return released; });
  };
  std::thread slow([&] { EXPECT_TRUE(t.get(1)); });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return fetching; });
  }
  EXPECT_TRUE(t.get(2));
  {
    const std::lock_guard lock(mutex);
    released = true;
  }
  changed.notify_all();
  slow.join();
}

TEST(ChunkCache, KeepsNoFailures) {
  Cache t(1 << 20);
  t.chunks.damage(FakeChunks::name(3));
  const auto first = t.get(3);
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().code, ErrorCode::chunk_damaged);
  EXPECT_FALSE(t.get(3));
  EXPECT_EQ(t.chunks.fetches, 2);
  t.chunks.repair(FakeChunks::name(3));
  EXPECT_TRUE(t.get(3));
}

TEST(ChunkCache, AnExceptionOfTheSourceIsAnErrorForAllWhoWait) {
  Cache t(1 << 20);
  t.chunks.while_fetching = [&] {
    while (t.cache.counters().waits < 1) std::this_thread::yield();
    throw std::bad_alloc();
  };
  std::atomic<int> failed = 0;
  const auto ask = [&] {
    const auto got = t.get(9);
    if (!got && got.error().code == ErrorCode::out_of_memory) ++failed;
  };
  std::thread other(ask);
  ask();
  other.join();
  EXPECT_EQ(failed, 2);
  t.chunks.while_fetching = [] {};
  EXPECT_TRUE(t.get(9));
}

TEST(ChunkCache, ManyThreadsGetTheRightBytesFromASmallCache) {
  Cache t(20 * kChunk);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (unsigned seed = 0; seed < 4; ++seed)
    threads.emplace_back([&, seed] {
      std::mt19937_64 random(seed);
      for (int i = 0; i < 5000; ++i) {
        const std::uint64_t number = random() % 60;
        const auto got = t.get(number);
        if (!got || (**got)[kChunk - 1] != static_cast<std::uint8_t>(number)) ++wrong;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(t.cache.counters().bytes, 20U * kChunk);
}

}  // namespace
}  // namespace cairn
