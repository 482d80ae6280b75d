// SPDX-License-Identifier: GPL-3.0-or-later
// A mutex that one can give up waiting for, as the second type of Guarded. std::timed_mutex waits in
// pthread_mutex_clocklock(), which the ThreadSanitizer of g++ 12 does not see: it then reports every unlock.
// Any thread. One thread must not lock it twice.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace cairn {

class TimedMutex {
 public:
  void lock() {
    std::unique_lock state(mutex_);
    freed_.wait(state, [this] { return !held_; });
    held_ = true;
  }
  [[nodiscard]] bool try_lock() { return try_lock_for(std::chrono::milliseconds(0)); }
  // False: others held it for that long, by the steady clock.
  [[nodiscard]] bool try_lock_for(std::chrono::milliseconds most) {
    std::unique_lock state(mutex_);
    if (!freed_.wait_for(state, most, [this] { return !held_; })) return false;
    held_ = true;
    return true;
  }
  void unlock() {
    const std::lock_guard state(mutex_);
    held_ = false;
    freed_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable freed_;
  bool held_ = false;
};

}  // namespace cairn
