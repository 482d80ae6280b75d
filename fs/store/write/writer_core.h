// SPDX-License-Identifier: GPL-3.0-or-later
// WriterCore: what all writers of one Store object share: the lock, the index, the sink for new records, and who is
// writing at the moment. Internal to fs/store. Any thread.
#pragma once

#include <map>
#include <mutex>

#include "fs/store/point/point_marks.h"
#include "fs/store/store_state.h"
#include "fs/store/write/record_sink.h"
#include "fs/store/write/store_writer.h"
#include "fs/store/writer_lock.h"

namespace cairn {

// Which writers are active, so that garbage collection can tell what they may count on. A session is one StoreWriter.
// Numbers grow; why that is enough: FORMAT.md "Garbage collection".
class WriterSessions {
 public:
  using Number = std::uint64_t;
  // `next_pack`: packs from this number on are its own, or of sessions beside it.
  Number begin(PackNumber next_pack);
  void end(Number session);
  // The number that the next session will have.
  [[nodiscard]] Number next() const;
  // The oldest one that is active, but for `own`; nothing: there is none.
  [[nodiscard]] std::optional<Number> oldest_but(Number own) const;
  // Packs before this one belong to no session that is active, but for `own`.
  [[nodiscard]] PackNumber settled_packs(Number own) const;

  // Packs that this process retired, and the number that the next session had then: sessions before it may count on
  // them. Of packs that an earlier process retired: 0.
  void retired(std::span<const PackNumber> packs, Number before);
  [[nodiscard]] Number retired_before(PackNumber pack) const;
  void removed(std::span<const PackNumber> packs);

 private:
  mutable std::mutex mutex_;
  Number next_ = 1;
  std::map<Number, PackNumber> active_;
  std::map<PackNumber, Number> retired_;
};

struct WriterCore {
  Store::State& store;
  WriterLock lock;
  std::shared_ptr<Index> index;
  WriterSessions sessions;
  std::mutex collecting;  // held by a collection from its beginning to its end; only ever tried
  RecordSink sink;

  WriterCore(Store::State& of, WriterLock taken, std::shared_ptr<Index> store_index);
  ~WriterCore();
  WriterCore(const WriterCore&) = delete;
  WriterCore& operator=(const WriterCore&) = delete;

  // Makes the index fit the packs that are really there.
  static Result<void> reconcile(Store::State& store, Index& index);
};

struct StoreWriter::State {
  explicit State(std::shared_ptr<WriterCore> shared) : core(std::move(shared)), store(core->store) {}
  std::shared_ptr<WriterCore> core;
  Store::State& store;
  WriterSessions::Number session = 0;
  std::vector<std::unique_ptr<ObjectHold>> held;
  std::mutex mutex;  // guards `held`

  // What a new point of that name names as the one before it; with store.marks_mutex held. Nothing: it is the first.
  Result<NewestPoints::Entry> predecessor_of(const PointName& name, const NewestPoints& newest);

  // --- fs/store/write/point_lifecycle.cpp, all with store.marks_mutex held.
  // What a tombstone of the point would say, from its file. Of a damaged one as much as can be known.
  // Errors: point_missing, io_error.
  Result<Tombstone> facts_of(const PointName& name);
  // Errors: point_immutable, point_protected.
  Result<void> check_removable(const char* doing, const PointName& name, UtcTime trusted);
  // The point's file is gone: makes a tombstone of its deletion, if that is all there is, and removes its other marks.
  // False: nothing is recorded about it.
  Result<bool> finish_purge(const PointName& name);
  // Removes tombstones that explain nothing any more; see point_marks.h.
  Result<void> fold_tombstones(const std::string& machine);
};

}  // namespace cairn
