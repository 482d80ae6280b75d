// SPDX-License-Identifier: GPL-3.0-or-later
// The thread that waits until it is poked or its wait is over. The test follows the work through a semaphore, so
// nothing depends on how fast the machine is.
#include "config/base/poked_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <semaphore>
#include <stdexcept>

#include "config/base/left_behind.h"

namespace cairn {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using Why = PokedThread::Why;

TEST(PokedThread, WorksWhenItsWaitIsOverAndWhenItIsPoked) {
  std::counting_semaphore<> worked(0);
  std::atomic<int> times = 0;
  std::atomic<Why> last = Why::poked;
  PokedThread thread("test-failed", "test", [&](Why why, const std::stop_token&) -> std::optional<milliseconds> {
    last = why;
    worked.release();
    const int time = ++times;
    if (time == 1) return milliseconds(1);
    if (time == 2) return hours(1);
    return std::nullopt;
  });
  thread.start();
  worked.acquire();  // at once
  worked.acquire();  // after its first wait
  EXPECT_EQ(last.load(), Why::due);
  thread.poke();  // long before the hour is over
  worked.acquire();
  EXPECT_EQ(last.load(), Why::poked);
  thread.poke();  // and when it waits for that alone
  worked.acquire();
  EXPECT_EQ(times, 4);
}

TEST(PokedThread, APokeBeforeTheStartOrWhileItWorksIsNotLost) {
  std::counting_semaphore<> worked(0);
  PokedThread* self = nullptr;
  std::atomic<int> times = 0;
  PokedThread thread("test-failed", "test", [&](Why why, const std::stop_token&) -> std::optional<milliseconds> {
    EXPECT_EQ(why, Why::poked);
    if (++times == 1) self->poke();
    worked.release();
    return std::nullopt;
  });
  self = &thread;
  thread.poke();
  thread.start(hours(1));
  worked.acquire();
  worked.acquire();
}

TEST(PokedThread, StopsWhileItWaitsAndTellsItsWork) {
  std::binary_semaphore begun(0);
  bool reported = false;
  {
    PokedThread thread("test-failed", "test", [&](Why, const std::stop_token& stop) -> std::optional<milliseconds> {
      begun.release();
      while (!stop.stop_requested()) std::this_thread::yield();
      reported = true;
      return hours(1);
    });
    thread.start();
    begun.acquire();
  }
  EXPECT_TRUE(reported);
  PokedThread waits("test-failed", "test", [](Why, const std::stop_token&) -> std::optional<milliseconds> {
    ADD_FAILURE() << "nothing was due";
    return std::nullopt;
  });
  waits.start(hours(1));
  waits.stop();
  waits.stop();
  PokedThread("test-failed", "test", nullptr).stop();
}

TEST(PokedThread, WorkThatDoesNotEndIsNotWaitedFor) {
  std::binary_semaphore begun(0);
  std::binary_semaphore may_end(0);
  PokedThread thread("test-failed", "test", [&](Why, const std::stop_token&) -> std::optional<milliseconds> {
    begun.release();
    may_end.acquire();
    return hours(1);
  });
  thread.start();
  begun.acquire();
  EXPECT_FALSE(thread.stop_within(milliseconds(10)));
  EXPECT_TRUE(anything_left_behind());
  may_end.release();
  EXPECT_TRUE(thread.stop_within(hours(1)));
  note_came_back();
  EXPECT_FALSE(anything_left_behind());
  PokedThread waits("test-failed", "test", nullptr);
  waits.start(hours(1));
  EXPECT_TRUE(waits.stop_within(hours(1)));
  EXPECT_TRUE(PokedThread("test-failed", "test", nullptr).stop_within(milliseconds(0)));
}

TEST(PokedThread, AnExceptionEndsNothing) {
  std::counting_semaphore<> worked(0);
  PokedThread thread("test-failed", "test", [&](Why, const std::stop_token&) -> std::optional<milliseconds> {
    worked.release();
    throw std::runtime_error("surprise");
  });
  thread.start();
  worked.acquire();
  thread.poke();
  worked.acquire();
}

}  // namespace
}  // namespace cairn
