// SPDX-License-Identifier: GPL-3.0-or-later
// Read-ahead: notices sequential readers of an open file, several at once, and has the next chunks opened into the
// cache by a few threads in the background. Bounded: a full queue drops what is asked of it; nobody waits for
// read-ahead.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "config/base/guarded.h"
#include "config/base/units.h"

namespace cairn {

struct ByteSpan {
  std::uint64_t offset = 0;  // bytes
  std::uint64_t size = 0;    // bytes
};

// Watches the reads of one open file. Pure but for its state. One thread at a time.
class SequenceDetector {
 public:
  // `max_window`: bytes to have ready in front of a reader, at most. 0: never.
  explicit SequenceDetector(std::uint64_t max_window) : max_window_(max_window) {}
  // Tells of a read; what to open ahead, if anything. A range is given once, however many reads lead up to it.
  std::optional<ByteSpan> on_read(ByteOffset from, ByteCount count);
  // Whether that read went on where an earlier one had ended, or near it.
  [[nodiscard]] bool is_in_sequence() const { return in_sequence_; }

 private:
  struct Stream {
    std::uint64_t next = 0;      // where the following read should begin
    std::uint64_t asked_to = 0;  // up to where read-ahead has been asked for
    std::uint64_t run = 0;       // bytes read in sequence
    std::uint64_t used = 0;      // when; 0: a free place
  };
  static constexpr std::size_t kStreams = 4;
  std::uint64_t max_window_;
  std::uint64_t reads_ = 0;
  bool in_sequence_ = false;
  std::array<Stream, kStreams> streams_;
};

// Opens ranges in the background. Any thread.
class ReadAhead {
 public:
  using Work = std::function<void()>;
  // Threads start with all signals blocked.
  ReadAhead(unsigned threads, std::size_t max_queued);
  // Drops what is queued; waits for what is under way.
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // False when the queue is full and the work was dropped.
  bool ask(Work work);

 private:
  void run();
  const std::size_t max_queued_;
  struct State {
    std::deque<Work> queue;
    bool ending = false;
  };
  Guarded<State> state_;
  std::condition_variable wake_;
  std::vector<std::thread> threads_;
};

}  // namespace cairn
