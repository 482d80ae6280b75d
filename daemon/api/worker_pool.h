// SPDX-License-Identifier: GPL-3.0-or-later
// WorkerPool: the threads that carry out requests, with a reserve: however much of the usual work waits or hangs,
// looking finds a thread, and however much looking hangs, stopping something does. Any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace cairn {

// Ordered: the later, the more urgent.
enum class Urgency { usual, look, cancel };

class WorkerPool {
 public:
  // Runs at most `usual` at once of the usual work; `reserve` more threads are for looking, and as many again for
  // cancelling.
  WorkerPool(std::size_t usual, std::size_t reserve);
  // As stop().
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // `work` must not throw. The most urgent first, and of those the oldest. After stop(): never run.
  void add(Urgency urgency, std::function<void()> work);
  // Forgets what waits and returns when what runs has ended, or has been left behind (config/base/left_behind.h). Safe
  // to call twice.
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace cairn
