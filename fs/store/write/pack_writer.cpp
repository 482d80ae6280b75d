// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/write/pack_writer.h"

#include <algorithm>

#include "config/base/exception_door.h"
#include "config/base/units.h"

namespace cairn {

PackWriter::PackWriter(Backend& backend, Index& index, std::function<void(const IndexedPack&)> indexed)
    : backend_(backend),
      index_(index),
      indexed_(std::move(indexed)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

PackWriter::~PackWriter() {
  thread_.request_stop();
  thread_.join();
}

void PackWriter::fail(Error error) {
  const auto state = state_.lock();
  if (!state->failure) state->failure = std::move(error);
  changed_.notify_all();
}

Result<void> PackWriter::status() const {
  const auto state = state_.lock();
  if (state->failure) return pass_on(*state->failure);
  return {};
}

Result<void> PackWriter::write(FinishedPack pack) {
  auto state = state_.lock();
  changed_.wait(state.held(), [&] { return state->failure || state->queue.size() < kQueuedPacks; });
  if (state->failure) return pass_on(*state->failure);
  state->queue.push_back(std::move(pack));
  ++state->queued;
  changed_.notify_all();
  return {};
}

Result<void> PackWriter::flush() {
  auto state = state_.lock();
  const std::uint64_t wanted = state->queued;
  state->index_wanted = std::max(state->index_wanted, wanted);
  changed_.notify_all();
  changed_.wait(state.held(), [&] { return state->failure || state->indexed_up_to >= wanted; });
  if (state->failure) return pass_on(*state->failure);
  return {};
}

BulkBuffer PackWriter::take_spare() {
  const auto state = state_.lock();
  if (state->spare.empty()) return {};
  BulkBuffer room = std::move(state->spare.back());
  state->spare.pop_back();
  return room;
}

void PackWriter::run(const std::stop_token& stop) {
  auto state = state_.lock();
  const auto has_work = [&] {
    return !state->failure && (!state->queue.empty() || state->indexed_up_to < state->index_wanted);
  };
  while (changed_.wait(state.held(), stop, has_work)) {
    if (auto outcome = step(state); !outcome && !state->failure) state->failure = std::move(outcome).error();
    changed_.notify_all();
  }
}

// One pack published, or the index told. The lock is not held meanwhile. The door where this thread's exceptions end.
Result<void> PackWriter::step(Guarded<State>::Locked<State>& state) {
  // A flush does not wait for packs that were queued after it.
  const bool publish_first =
      !state->queue.empty() && (state->published < state->index_wanted || state->indexed_up_to >= state->index_wanted);
  std::optional<FinishedPack> pack;
  if (publish_first) {
    pack = std::move(state->queue.front());
    state->queue.pop_front();
    changed_.notify_all();
  }
  state.held().unlock();
  auto outcome =
      without_exceptions("write packs of", backend_.location(), [&] { return pack ? publish(*pack) : add_to_index(); });
  state.held().lock();
  if (!outcome) return outcome;
  if (pack) {
    ++state->published;
    if (state->spare.size() <= kQueuedPacks) state->spare.push_back(std::move(pack->bytes));
  }
  if (batch_.empty()) state->indexed_up_to = state->published;
  return {};
}

Result<void> PackWriter::check_space(std::uint64_t bytes) {
  CAIRN_TRY(const auto space, backend_.space());
  if (!space || space->free >= bytes + reserved_space(space->total)) return {};
  return cairn::fail(ErrorCode::space_reserved, "write packs of", backend_.location(),
                     format_size(space->free) + " are free, and " + format_size(reserved_space(space->total)) +
                         " of that are kept for pruning");
}

Result<void> PackWriter::publish(FinishedPack& pack) {
  CAIRN_CHECK(check_space(pack.bytes.size()));
  const ByteView parts[] = {pack.bytes};
  auto put = backend_.put(pack.object(), parts, IfExists::fail);
  // A pack's name is the hash of its bytes: what is there already is this pack.
  if (!put && put.error().code != ErrorCode::object_exists) return put;
  batch_records_ += pack.records.size();
  batch_.push_back({std::move(pack.name), pack.bytes.size(), std::move(pack.records)});
  if (batch_records_ >= kIndexBatchRecords) return add_to_index();
  return {};
}

Result<void> PackWriter::add_to_index() {
  if (batch_.empty()) return {};
  CAIRN_CHECK(index_.add(batch_));
  for (const IndexedPack& pack : batch_) indexed_(pack);
  batch_.clear();
  batch_records_ = 0;
  return {};
}

}  // namespace cairn
