// SPDX-License-Identifier: GPL-3.0-or-later
// Guarded: a value that can only be reached with its mutex held, so that no comment has to say which lock guards what.
//   Guarded<std::map<std::string, int>> counts;
//   (*counts.lock())["web"] = 1;    // locked to the end of the statement
//   const auto all = counts.lock();  // locked to the end of the scope: all->size()
// Any thread. One thread must not lock the same value twice.
#pragma once

#include <mutex>
#include <utility>

namespace cairn {

template <class T>
class Guarded {
 public:
  // The way to the value; the mutex is held as long as this lives.
  template <class V>
  class Locked {
   public:
    Locked(std::mutex& mutex, V& value) : lock_(mutex), value_(value) {}
    V& operator*() const { return value_; }
    V* operator->() const { return &value_; }
    // For a condition variable to wait with.
    std::unique_lock<std::mutex>& held() { return lock_; }

   private:
    std::unique_lock<std::mutex> lock_;
    V& value_;
  };

  Guarded() = default;
  explicit Guarded(T value) : value_(std::move(value)) {}

  [[nodiscard]] Locked<T> lock() { return {mutex_, value_}; }
  [[nodiscard]] Locked<const T> lock() const { return {mutex_, value_}; }

 private:
  mutable std::mutex mutex_;
  T value_{};
};

}  // namespace cairn
