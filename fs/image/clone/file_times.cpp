// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/image/clone/file_times.h"

#include <chrono>
#include <ctime>
#include <thread>

namespace cairn {

namespace {
constexpr std::int64_t kSecond = 1'000'000'000;
}

std::int64_t nanoseconds(const struct statx_timestamp& time) {
  return time.tv_sec * kSecond + time.tv_nsec;
}

void leave_behind(std::int64_t time_ns) {
  constexpr auto kStep = std::chrono::milliseconds(1);
  for (int i = 0; i < 50; ++i) {
    struct timespec now{};
    if (::clock_gettime(CLOCK_REALTIME_COARSE, &now) != 0) return;
    if (now.tv_sec * kSecond + now.tv_nsec > time_ns) return;
    // A time in the future: the clock was set back, and waiting would not help.
    if (time_ns / kSecond > now.tv_sec + 1) return;
    std::this_thread::sleep_for(kStep);
  }
}

}  // namespace cairn
