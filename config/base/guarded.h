// SPDX-License-Identifier: GPL-3.0-or-later
// Guarded: a value that can only be reached with its mutex held, so that no comment has to say which lock guards what.
//   Guarded<std::map<std::string, int>> counts;
//   (*counts.lock())["web"] = 1;    // locked to the end of the statement
//   const auto all = counts.lock();  // locked to the end of the scope: all->size()
// With TimedMutex as the second type, lock_within() gives up after a time.
// Any thread. One thread must not lock the same value twice.
#pragma once

#include <chrono>
#include <mutex>
#include <optional>
#include <utility>

namespace cairn {

template <class T, class Mutex = std::mutex>
class Guarded {
 public:
  // The way to the value; the mutex is held as long as this lives.
  template <class V>
  class Locked {
   public:
    Locked(std::unique_lock<Mutex> lock, V& value) : lock_(std::move(lock)), value_(value) {}
    V& operator*() const { return value_; }
    V* operator->() const { return &value_; }
    // For a condition variable to wait with.
    std::unique_lock<Mutex>& held() { return lock_; }

   private:
    std::unique_lock<Mutex> lock_;
    V& value_;
  };

  Guarded() = default;
  explicit Guarded(T value) : value_(std::move(value)) {}

  [[nodiscard]] Locked<T> lock() { return {std::unique_lock(mutex_), value_}; }
  [[nodiscard]] Locked<const T> lock() const { return {std::unique_lock(mutex_), value_}; }
  // Nothing: others held it for that long.
  [[nodiscard]] std::optional<Locked<T>> lock_within(std::chrono::milliseconds most) {
    std::unique_lock lock(mutex_, most);
    if (!lock) return std::nullopt;
    return std::optional<Locked<T>>(std::in_place, std::move(lock), value_);
  }

 private:
  mutable Mutex mutex_;
  T value_{};
};

}  // namespace cairn
