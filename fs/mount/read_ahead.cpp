// SPDX-License-Identifier: GPL-3.0-or-later
// Read-ahead: see read_ahead.h.
#include "fs/mount/read_ahead.h"

#include <algorithm>

#include "config/base/exception_door.h"
#include "config/base/log.h"
#include "config/base/units.h"
#include "fs/mount/signal_block.h"

namespace cairn {
namespace {

// The kernel sends the parts of its own read-ahead from several threads: they may overtake each other by a few
// requests.
constexpr std::uint64_t kDisorder = 4;
constexpr std::uint64_t kMinRun = 64 * kKiB;  // a reader is sequential after this much and a second read

}  // namespace

std::optional<ByteSpan> SequenceDetector::on_read(ByteOffset from, ByteCount count) {
  const std::uint64_t offset = from.from_start();
  const std::uint64_t size = count.bytes();
  in_sequence_ = false;
  if (size == 0) return {};
  ++reads_;
  const std::uint64_t slack = kDisorder * size;
  const auto near = [&](const Stream& stream) {
    return stream.used != 0 && offset + slack >= stream.next && offset <= stream.next + slack;
  };
  auto stream = std::ranges::find_if(streams_, near);
  if (stream == streams_.end()) {
    stream = std::ranges::min_element(streams_, {}, &Stream::used);
    *stream = {offset + size, offset + size, size, reads_};
    return {};
  }
  in_sequence_ = true;
  stream->used = reads_;
  stream->run += size;
  stream->next = std::max(stream->next, offset + size);
  if (stream->run < kMinRun || max_window_ == 0) return {};
  // The window grows with what has been read: who reads a little costs a little.
  const std::uint64_t window = std::min(stream->run, max_window_);
  const std::uint64_t begin = std::max(stream->asked_to, stream->next);
  const std::uint64_t end = stream->next + window;
  // Half a window at a time, so that reads in small steps do not each ask for a little.
  if (end < begin + window / 2 || end <= begin) return {};
  stream->asked_to = end;
  return ByteSpan{begin, end - begin};
}

ReadAhead::ReadAhead(unsigned threads, std::size_t max_queued) : max_queued_(max_queued) {
  const SignalBlock block;
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

ReadAhead::~ReadAhead() {
  {
    const auto state = state_.lock();
    state->ending = true;
    state->queue.clear();
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool ReadAhead::ask(Work work) {
  {
    const auto state = state_.lock();
    if (state->ending || state->queue.size() >= max_queued_) return false;
    state->queue.push_back(std::move(work));
  }
  wake_.notify_one();
  return true;
}

void ReadAhead::run() {
  auto state = state_.lock();
  while (true) {
    wake_.wait(state.held(), [&] { return state->ending || !state->queue.empty(); });
    if (state->ending) return;
    Work work = std::move(state->queue.front());
    state->queue.pop_front();
    state.held().unlock();
    const auto done = without_exceptions("read ahead", "", [&]() -> Result<void> {
      work();
      return {};
    });
    // Nobody waits for it: the read itself will meet the same and say so to its reader.
    if (!done) log_event(LogLevel::debug, "read-ahead-failed", "mount", {{"error", done.error().message()}});
    work = nullptr;  // may hold the last reference to an open disk: not under the lock
    state.held().lock();
  }
}

}  // namespace cairn
