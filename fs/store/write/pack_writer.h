// SPDX-License-Identifier: GPL-3.0-or-later
// PackWriter: takes finished packs, publishes them and tells the index, in a thread of its own, so that sealing goes on
// while the disk syncs. Internal to fs/store. Any thread.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
#include <optional>
#include <thread>

#include "config/base/guarded.h"
#include "config/base/result.h"
#include "fs/io/backend.h"
#include "fs/store/index/index.h"

namespace cairn {

// What backups leave of a file system of `total` bytes, so that a prune can still work: it writes before it frees.
// Bytes.
constexpr std::uint64_t reserved_space(std::uint64_t total) {
  return std::clamp<std::uint64_t>(total / 50, std::uint64_t{8} << 20U, std::uint64_t{1} << 30U);
}

class PackWriter {
 public:
  // `indexed` is called, in the writer's thread, with packs that the index has from now on.
  PackWriter(Backend& backend, Index& index, std::function<void(const IndexedPack&)> indexed);
  // Drops what is queued: call flush() first to keep it.
  ~PackWriter();
  PackWriter(const PackWriter&) = delete;
  PackWriter& operator=(const PackWriter&) = delete;

  // Makes the writer fail, as if a write had failed. The first failure counts.
  void fail(Error error);
  // The first failure, if any. Cheap.
  [[nodiscard]] Result<void> status() const;
  // Queues the pack; waits while kQueuedPacks are queued already. Errors: the first failure, for ever after.
  Result<void> write(FinishedPack pack);
  // Returns when everything that was queued before this call is published and in the index, whatever others queue
  // meanwhile. Errors: as write().
  Result<void> flush();
  // The memory of a pack that has been written, for the next one; empty when there is none.
  [[nodiscard]] BulkBuffer take_spare();

 private:
  static constexpr std::size_t kQueuedPacks = 2;
  struct State {
    std::deque<FinishedPack> queue;
    std::optional<Error> failure;
    std::uint64_t queued = 0;         // packs ever queued
    std::uint64_t published = 0;      // packs ever published
    std::uint64_t indexed_up_to = 0;  // of those, how many the index has
    std::uint64_t index_wanted = 0;   // a flush waits for this many
    std::vector<BulkBuffer> spare;
  };
  void run(const std::stop_token& stop);
  Result<void> step(Guarded<State>::Locked<State>& state);
  Result<void> publish(FinishedPack& pack);
  Result<void> check_space(std::uint64_t bytes);
  Result<void> add_to_index();

  Backend& backend_;
  Index& index_;
  std::function<void(const IndexedPack&)> indexed_;
  // Of the thread alone:
  std::vector<IndexedPack> batch_;
  std::size_t batch_records_ = 0;
  Guarded<State> state_;
  std::condition_variable_any changed_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace cairn
