// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/api/worker_pool.h"

#include <array>
#include <condition_variable>
#include <deque>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "config/base/guarded.h"
#include "config/base/left_behind.h"

namespace cairn {
namespace {

constexpr std::size_t kUrgencies = 3;

}  // namespace

struct WorkerPool::State {
  struct Table {
    std::array<std::deque<std::function<void()>>, kUrgencies> waiting;
    std::size_t running = 0;
    bool stopping = false;
  };
  // How much may run in all when work of an urgency begins.
  std::array<std::size_t, kUrgencies> at_most;
  Guarded<Table> table;
  std::condition_variable changed;
  std::vector<std::thread> threads;

  [[nodiscard]] std::optional<std::function<void()>> take(Table& now) const {
    for (std::size_t urgency = kUrgencies; urgency-- > 0;) {
      auto& waiting = now.waiting[urgency];
      if (waiting.empty() || now.running >= at_most[urgency]) continue;
      auto work = std::move(waiting.front());
      waiting.pop_front();
      return work;
    }
    return std::nullopt;
  }

  void work() {
    auto now = table.lock();
    for (;;) {
      std::optional<std::function<void()>> next;
      changed.wait(now.held(), [&] { return now->stopping || (next = take(*now)).has_value(); });
      if (!next) return;
      ++now->running;
      now.held().unlock();
      (*next)();
      next.reset();
      now.held().lock();
      --now->running;
      changed.notify_all();
    }
  }
};

WorkerPool::WorkerPool(std::size_t usual, std::size_t reserve) : state_(std::make_shared<State>()) {
  state_->at_most = {usual, usual + reserve, usual + 2 * reserve};
  for (std::size_t i = 0; i < state_->at_most.back(); ++i)
    state_->threads.emplace_back([state = state_] { state->work(); });
}

WorkerPool::~WorkerPool() {
  stop();
}

void WorkerPool::add(Urgency urgency, std::function<void()> work) {
  {
    const auto now = state_->table.lock();
    if (now->stopping) return;
    now->waiting[static_cast<std::size_t>(urgency)].push_back(std::move(work));
  }
  state_->changed.notify_all();
}

void WorkerPool::stop() {
  {
    const auto now = state_->table.lock();
    now->stopping = true;
    for (auto& waiting : now->waiting) waiting.clear();
  }
  state_->changed.notify_all();
  if (state_->threads.empty()) return;
  bool ended = false;
  {
    auto now = state_->table.lock();
    ended = state_->changed.wait_for(now.held(), kLeaveAfter, [&] { return now->running == 0; });
  }
  if (!ended) note_left_behind();
  for (std::thread& thread : std::exchange(state_->threads, {})) ended ? thread.join() : thread.detach();
}

}  // namespace cairn
