// SPDX-License-Identifier: GPL-3.0-or-later
// A value behind its lock, with a lock that waits for ever and one that gives up.
#include "config/base/guarded.h"

#include <gtest/gtest.h>

#include <future>
#include <semaphore>
#include <thread>
#include <vector>

#include "config/base/timed_mutex.h"

namespace cairn {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

template <class Mutex>
void count_in_four_threads() {
  constexpr int kEach = 2000;
  Guarded<int, Mutex> count;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&] {
        for (int i = 0; i < kEach; ++i) ++*count.lock();
      });
    }
  }
  EXPECT_EQ(*count.lock(), 4 * kEach);
}

TEST(Guarded, OneThreadAtATimeReachesTheValue) {
  count_in_four_threads<std::mutex>();
  count_in_four_threads<TimedMutex>();
}

TEST(Guarded, GivesUpAfterTheTimeWhenAnotherHoldsIt) {
  Guarded<int, TimedMutex> value(7);
  const auto held = value.lock();
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(std::async(std::launch::async, [&] { return !value.lock_within(milliseconds(30)); }).get());
  EXPECT_GE(std::chrono::steady_clock::now() - began, milliseconds(30));
}

TEST(Guarded, IsReachedAtOnceWhenTheOtherLetsGo) {
  Guarded<int, TimedMutex> value(7);
  std::binary_semaphore waits(0);
  std::future<int> read;
  {
    const auto held = value.lock();
    read = std::async(std::launch::async, [&] {
      waits.release();
      const auto other = value.lock_within(hours(1));
      return other ? **other : 0;
    });
    waits.acquire();
    *held = 8;
  }
  EXPECT_EQ(read.get(), 8);
  EXPECT_TRUE(value.lock_within(milliseconds(0))) << "nobody holds it any more";
}

}  // namespace
}  // namespace cairn
