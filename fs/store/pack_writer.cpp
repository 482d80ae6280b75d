// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/pack_writer.h"

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

Result<void> PackWriter::write(FinishedPack pack) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || queue_.size() < kQueuedPacks; });
  if (failure_) return pass_on(*failure_);
  queue_.push_back(std::move(pack));
  changed_.notify_all();
  return {};
}

Result<void> PackWriter::flush() {
  std::unique_lock lock(mutex_);
  flush_wanted_ = true;
  changed_.notify_all();
  changed_.wait(lock, [&] { return failure_ || (queue_.empty() && !busy_ && !flush_wanted_); });
  if (failure_) return pass_on(*failure_);
  return {};
}

Buffer PackWriter::take_spare() {
  const std::lock_guard lock(mutex_);
  if (spare_.empty()) return {};
  Buffer room = std::move(spare_.back());
  spare_.pop_back();
  return room;
}

void PackWriter::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [&] { return !failure_ && (!queue_.empty() || flush_wanted_); })) {
    busy_ = true;
    Result<void> outcome;
    if (!queue_.empty()) {
      FinishedPack pack = std::move(queue_.front());
      queue_.pop_front();
      changed_.notify_all();
      lock.unlock();
      outcome = publish(pack);
      lock.lock();
      if (spare_.size() <= kQueuedPacks) spare_.push_back(std::move(pack.bytes));
    } else {
      lock.unlock();
      outcome = add_to_index();
      lock.lock();
      if (queue_.empty()) flush_wanted_ = false;
    }
    busy_ = false;
    if (!outcome) failure_ = std::move(outcome).error();
    changed_.notify_all();
  }
}

Result<void> PackWriter::publish(FinishedPack& pack) {
  const ByteView parts[] = {pack.bytes};
  auto put = backend_.put(pack.object(), parts, IfExists::fail);
  // A pack's name is the hash of its bytes: what is there already is this pack.
  if (!put && put.error().code != ErrorCode::point_exists) return put;
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
