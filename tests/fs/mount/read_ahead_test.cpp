// SPDX-License-Identifier: GPL-3.0-or-later
// Sequential readers and the threads that read ahead of them.
#include "fs/mount/read_ahead.h"

#include <gmock/gmock.h>

#include <atomic>
#include <random>

#include "config/base/units.h"

namespace cairn {
namespace {

constexpr std::uint64_t kWindow = 4 * kMiB;

TEST(SequenceDetector, ReadsAheadOfASequentialReaderAndAsksForEachByteOnce) {
  SequenceDetector detector(kWindow);
  std::uint64_t asked_to = 0;
  std::uint64_t asked = 0;
  for (std::uint64_t at = 0; at < 64 * kMiB; at += 128 * kKiB) {
    const auto ahead = detector.on_read(ByteOffset(at), ByteCount(128 * kKiB));
    if (!ahead) continue;
    EXPECT_GE(ahead->offset, asked_to);
    EXPECT_GE(ahead->offset, at + 128 * kKiB);
    asked_to = ahead->offset + ahead->size;
    EXPECT_LE(asked_to, at + 128 * kKiB + kWindow);
    asked += ahead->size;
  }
  EXPECT_GT(asked, 60 * kMiB);
  EXPECT_LE(asked, 64 * kMiB + kWindow);
}

TEST(SequenceDetector, LeavesRandomReadersAlone) {
  SequenceDetector detector(kWindow);
  std::mt19937_64 random(7);
  int asked = 0;
  int in_sequence = 0;
  for (int i = 0; i < 10000; ++i) {
    if (detector.on_read(ByteOffset(random() % (4 * kGiB / 4096) * 4096), ByteCount(4096))) ++asked;
    if (detector.is_in_sequence()) ++in_sequence;
  }
  EXPECT_EQ(asked, 0);
  EXPECT_LT(in_sequence, 10) << "chance";
}

TEST(SequenceDetector, AsksForNothingAfterOneRead) {
  SequenceDetector detector(kWindow);
  EXPECT_FALSE(detector.on_read(ByteOffset(0), ByteCount(kMiB)));
}

TEST(SequenceDetector, FollowsSeveralReadersOfOneFile) {
  SequenceDetector detector(kWindow);
  std::array<std::uint64_t, 4> asked{};
  for (std::uint64_t at = 0; at < 8 * kMiB; at += 64 * kKiB)
    for (std::uint64_t reader = 0; reader < 4; ++reader)
      if (const auto ahead = detector.on_read(ByteOffset(reader * kGiB + at), ByteCount(64 * kKiB))) {
        EXPECT_EQ(ahead->offset / kGiB, reader);
        asked[reader] += ahead->size;
      }
  for (const std::uint64_t bytes : asked) EXPECT_GT(bytes, 6 * kMiB);
}

TEST(SequenceDetector, BearsRequestsThatOvertakeEachOther) {
  SequenceDetector detector(kWindow);
  std::uint64_t asked = 0;
  for (std::uint64_t at = 0; at < 16 * kMiB; at += 512 * kKiB)
    for (const std::uint64_t part : {1, 0, 3, 2})
      if (const auto ahead = detector.on_read(ByteOffset(at + part * 128 * kKiB), ByteCount(128 * kKiB)))
        asked += ahead->size;
  EXPECT_GT(asked, 12 * kMiB);
  EXPECT_LE(asked, 16 * kMiB + kWindow);
}

TEST(SequenceDetector, WithoutAWindowNothingIsReadAhead) {
  SequenceDetector detector(0);
  for (std::uint64_t at = 0; at < kMiB; at += 4096) {
    EXPECT_FALSE(detector.on_read(ByteOffset(at), ByteCount(4096)));
    EXPECT_EQ(detector.is_in_sequence(), at != 0) << "a sequence it is all the same";
  }
}

TEST(ReadAhead, DropsWhatDoesNotFitTheQueueAndBearsExceptions) {
  std::mutex mutex;
  std::condition_variable changed;
  bool released = false;
  int started = 0;
  const auto wait_here = [&] {
    std::unique_lock lock(mutex);
    ++started;
    changed.notify_all();
    changed.wait(lock, [&] { return released; });
  };
  std::atomic<int> done = 0;
  {
    ReadAhead ahead(1, 2);
    ASSERT_TRUE(ahead.ask(wait_here));
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return started == 1; });
    }
    EXPECT_TRUE(ahead.ask([] { throw std::runtime_error("for the test"); }));
    EXPECT_TRUE(ahead.ask([&] {
      const std::lock_guard lock(mutex);
      ++done;
      changed.notify_all();
    }));
    EXPECT_FALSE(ahead.ask([&] { done = 100; }));
    std::unique_lock lock(mutex);
    released = true;
    changed.notify_all();
    changed.wait(lock, [&] { return done == 1; });
  }
  EXPECT_EQ(done, 1);
}

}  // namespace
}  // namespace cairn
