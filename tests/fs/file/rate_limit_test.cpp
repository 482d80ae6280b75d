// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/file/rate_limit.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

namespace cairn {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

TEST(RateLimit, NeverWaitsWithoutARate) {
  RateLimit limit(0);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(limit.take(std::uint64_t{1} << 50U, {}).has_value());
}

TEST(RateLimit, LetsASecondsWorthPassAtOnceAndThenKeepsTheRate) {
  RateLimit limit(10'000);
  const auto began = steady_clock::now();
  // A second's worth is free, what follows is paid for: 0.3 s here. The last one pays later.
  for (int i = 0; i < 14; ++i) ASSERT_TRUE(limit.take(1'000, {}).has_value());
  const auto took = steady_clock::now() - began;
  EXPECT_GE(took, milliseconds(290));
  EXPECT_LT(took, milliseconds(5000));
}

TEST(RateLimit, SharesTheRateAmongThreads) {
  RateLimit limit(10'000);
  const auto began = steady_clock::now();
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        for (int j = 0; j < 4; ++j) EXPECT_TRUE(limit.take(1'000, {}).has_value());
      });
  }
  EXPECT_GE(steady_clock::now() - began, milliseconds(490));
}

TEST(RateLimit, AStopEndsTheWait) {
  RateLimit limit(1);
  ASSERT_TRUE(limit.take(1'000'000, {}).has_value());  // paid for in eleven days
  std::stop_source stop;
  auto waiting = std::async(std::launch::async, [&] { return limit.take(1, stop.get_token()); });
  EXPECT_EQ(waiting.wait_for(milliseconds(20)), std::future_status::timeout);
  stop.request_stop();
  const auto outcome = waiting.get();
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().code, ErrorCode::cancelled);
  EXPECT_FALSE(limit.take(1, stop.get_token()).has_value());
}

}  // namespace
}  // namespace cairn
