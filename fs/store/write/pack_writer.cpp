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
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::move(error);
  changed_.notify_all();
}

Result<void> PackWriter::status() const {
  const std::lock_guard lock(mutex_);
  if (failure_) return pass_on(*failure_);
  return {};
}

Result<void> PackWriter::write(FinishedPack pack) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || queue_.size() < kQueuedPacks; });
  if (failure_) return pass_on(*failure_);
  queue_.push_back(std::move(pack));
  ++queued_;
  changed_.notify_all();
  return {};
}

Result<void> PackWriter::flush() {
  std::unique_lock lock(mutex_);
  const std::uint64_t wanted = queued_;
  index_wanted_ = std::max(index_wanted_, wanted);
  changed_.notify_all();
  changed_.wait(lock, [&] { return failure_ || indexed_up_to_ >= wanted; });
  if (failure_) return pass_on(*failure_);
  return {};
}

BulkBuffer PackWriter::take_spare() {
  const std::lock_guard lock(mutex_);
  if (spare_.empty()) return {};
  BulkBuffer room = std::move(spare_.back());
  spare_.pop_back();
  return room;
}

void PackWriter::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const auto has_work = [&] { return !failure_ && (!queue_.empty() || indexed_up_to_ < index_wanted_); };
  while (changed_.wait(lock, stop, has_work)) {
    if (auto outcome = step(lock); !outcome && !failure_) failure_ = std::move(outcome).error();
    changed_.notify_all();
  }
}

// One pack published, or published packs added to the index. The lock is not held meanwhile. The door where this
// thread's exceptions end.
Result<void> PackWriter::step(std::unique_lock<std::mutex>& lock) {
  // A flush does not wait for packs that were queued after it.
  const bool publish_first = !queue_.empty() && (published_ < index_wanted_ || indexed_up_to_ >= index_wanted_);
  std::optional<FinishedPack> pack;
  if (publish_first) {
    pack = std::move(queue_.front());
    queue_.pop_front();
    changed_.notify_all();
  }
  lock.unlock();
  auto outcome =
      without_exceptions("write packs of", backend_.location(), [&] { return pack ? publish(*pack) : add_to_index(); });
  lock.lock();
  if (!outcome) return outcome;
  if (pack) {
    ++published_;
    if (spare_.size() <= kQueuedPacks) spare_.push_back(std::move(pack->bytes));
  }
  if (batch_.empty()) indexed_up_to_ = published_;
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
