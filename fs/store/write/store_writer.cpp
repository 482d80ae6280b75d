// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/write/store_writer.h"

#include <algorithm>
#include <thread>
#include <unordered_map>

#include "config/base/error.h"
#include "config/base/log.h"
#include "fs/store/document_pair.h"
#include "fs/store/point/mark_files.h"
#include "fs/store/point/point_file.h"
#include "fs/store/store_state.h"
#include "fs/store/write/ingest.h"
#include "fs/store/write/writer_core.h"

namespace cairn {

namespace {
constexpr unsigned kMaxLanes = 4;  // packs being filled at once: bounds the memory
}

WriterSessions::Number WriterSessions::begin(PackNumber next_pack) {
  const std::lock_guard lock(mutex_);
  active_.emplace(next_, next_pack);
  return next_++;
}

void WriterSessions::end(Number session) {
  const std::lock_guard lock(mutex_);
  active_.erase(session);
}

WriterSessions::Number WriterSessions::next() const {
  const std::lock_guard lock(mutex_);
  return next_;
}

std::optional<WriterSessions::Number> WriterSessions::oldest_but(Number own) const {
  const std::lock_guard lock(mutex_);
  for (const auto& entry : active_)
    if (entry.first != own) return entry.first;
  return {};
}

PackNumber WriterSessions::settled_packs(Number own) const {
  const std::lock_guard lock(mutex_);
  PackNumber settled = UINT32_MAX;
  for (const auto& [session, next_pack] : active_)
    if (session != own) settled = std::min(settled, next_pack);
  return settled;
}

void WriterSessions::retired(std::span<const PackNumber> packs, Number before) {
  const std::lock_guard lock(mutex_);
  for (const PackNumber pack : packs) retired_[pack] = before;
}

WriterSessions::Number WriterSessions::retired_before(PackNumber pack) const {
  const std::lock_guard lock(mutex_);
  const auto found = retired_.find(pack);
  return found == retired_.end() ? 0 : found->second;
}

void WriterSessions::removed(std::span<const PackNumber> packs) {
  const std::lock_guard lock(mutex_);
  for (const PackNumber pack : packs) retired_.erase(pack);
}

WriterCore::WriterCore(Store::State& of, WriterLock taken, std::shared_ptr<Index> store_index)
    : store(of),
      lock(std::move(taken)),
      index(std::move(store_index)),
      sink(*store.backend, *index, store.keys, store.document.algorithm, store.document.id,
           std::clamp(std::thread::hardware_concurrency(), 1U, kMaxLanes)) {}

WriterCore::~WriterCore() {
  // Keeps what a cancelled backup stored: the next one finds it. A failure was reported where it happened.
  static_cast<void>(sink.flush().has_value());
}

Result<void> WriterCore::reconcile(Store::State& store, Index& index) {
  CAIRN_TRY(const auto objects, store.backend->list("packs/"));
  CAIRN_TRY(const auto rows, index.packs());
  std::unordered_map<std::string, const PackRow*> gone;
  for (const PackRow& row : rows) gone.emplace(row.name, &row);
  std::vector<IndexedPack> found;
  std::size_t found_records = 0;
  bool settled = false;
  for (const std::string& name : pack_names_of(objects)) {
    if (gone.erase(name) != 0) continue;
    // Written by a backup that was interrupted before it came to the index.
    const auto records = store.read_footer(name);
    if (!records) {
      log_error("pack-damaged", name, records.error());
      continue;
    }
    // It may have been killed before the pack's name was on the disk.
    if (!settled) CAIRN_CHECK(store.backend->settle("packs/"));
    settled = true;
    found_records += records->records.size();
    found.push_back(*records);
    if (found_records >= kIndexBatchRecords) {
      CAIRN_CHECK(index.add(found));
      found.clear();
      found_records = 0;
    }
  }
  CAIRN_CHECK(index.add(found));
  // A collection that was interrupted between removing a pack and forgetting it: nothing was lost.
  std::vector<PackNumber> removed;
  std::erase_if(gone, [&](const auto& entry) {
    if (entry.second->retired == Retired::no) return false;
    removed.push_back(entry.second->number);
    return true;
  });
  if (!removed.empty()) {
    // The same may hold for a file that was removed: a damaged pack that came back when the power fails would be taken
    // for a new one, and its chunks for good ones.
    if (!settled) CAIRN_CHECK(store.backend->settle("packs/"));
    CAIRN_CHECK(index.drop(removed));
  }
  if (gone.empty()) {
    // An index of an earlier version has none yet.
    CAIRN_TRY(const std::string epoch, index.epoch());
    return epoch.empty() ? index.renew_epoch() : Result<void>();
  }
  // New points must not build on what is not there any more.
  std::vector<std::string> names;
  for (const auto& entry : gone) {
    log_event(LogLevel::error, "pack-missing", store.directory.string(),
              {{"pack", entry.first}, {"effect", "its chunks will be stored anew"}});
    names.push_back(entry.first);
  }
  return index.forget(names);
}

Result<std::shared_ptr<WriterCore>> Store::State::writer_core(const std::string& purpose) {
  if (!private_index.empty())
    return fail(ErrorCode::permission_denied, "write to store", directory.string(),
                "it was opened to be read, through an index elsewhere");
  std::unique_lock guard(writer_mutex);
  for (;;) {
    if (auto core = writer.lock()) return core;
    if (!writer_alive) break;
    writer_gone.wait(guard);  // one that is just ending still has the lock
  }
  CAIRN_TRY(WriterLock lock, WriterLock::take(directory, purpose));
  CAIRN_CHECK(backend->remove_leftovers());
  // Whoever was killed in the last step of an init, or of a change of points and marks, has not seen to it that it
  // stays; nor that a folder of packs does, into which others are put now.
  CAIRN_CHECK(backend->settle(""));
  std::error_code ignored;
  std::filesystem::remove_all(directory / "index.new", ignored);  // of an interrupted rebuild
  if (auto renewed = renew_document_copy(*backend, directory, keys); !renewed)
    log_error("store-document-copy", directory.string(), renewed.error());  // no reason to take no backup
  forget_index();                                                           // another process may have rebuilt it
  CAIRN_TRY(auto opened, index());
  CAIRN_CHECK(WriterCore::reconcile(*this, *opened));
  const auto end_core = [this](WriterCore* core) {
    delete core;
    const std::lock_guard lock_state(writer_mutex);
    writer_alive = false;
    writer_gone.notify_all();
  };
  std::shared_ptr<WriterCore> core(new WriterCore(*this, std::move(lock), std::move(opened)), end_core);
  writer = core;
  writer_alive = true;
  return core;
}

Result<std::shared_ptr<StoreWriter>> Store::begin_writing(const std::string& purpose) {
  CAIRN_TRY(auto core, state_->writer_core(purpose));
  auto state = std::make_unique<StoreWriter::State>(std::move(core));
  CAIRN_TRY(const PackNumber next_pack, state->core->index->next_pack());
  state->session = state->core->sessions.begin(next_pack);
  return std::shared_ptr<StoreWriter>(new StoreWriter(std::move(state)));
}

StoreWriter::StoreWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}

StoreWriter::~StoreWriter() {
  state_->core->sessions.end(state_->session);
}

Result<void> StoreWriter::hold_point(const PointName& name) {
  CAIRN_TRY(auto hold, state_->store.hold_point(name));
  const std::lock_guard lock(state_->mutex);
  state_->held.push_back(std::move(hold));
  return {};
}

Result<IngestReport> StoreWriter::ingest(ImageReader& image, const IngestOptions& options) {
  const std::uint32_t chunk_size = state_->store.document.chunk_size;
  std::optional<CarryOver> carry_over;
  if (options.base) carry_over.emplace(*options.base->source, options.base->map, image.size(), chunk_size);
  return ingest_disk(state_->core->sink, state_->store.keys.namer(), chunk_size, image, options,
                     carry_over ? &*carry_over : nullptr);
}

Result<void> StoreWriter::flush() {
  return state_->core->sink.flush();
}

Result<std::string> StoreWriter::epoch() {
  return state_->core->index->epoch();
}

Result<void> StoreWriter::commit(RecoveryPoint& point) {
  CAIRN_CHECK(state_->core->sink.flush());
  Store::State& store = state_->store;
  // Held while it looks for the predecessor and publishes: a purge in between would leave a tombstone that nobody seems
  // to need, and remove it.
  const std::lock_guard lock(store.marks_mutex);
  const MarkFiles marks = store.marks();
  // A point of that name may have been there, and deleted: its mark must not hide this one.
  CAIRN_CHECK(marks.remove(deletion_object(point.name)));
  const auto recorded = marks.newest(point.name.machine);
  if (!recorded) log_error("newest-points-unreadable", point.name.machine, recorded.error());
  NewestPoints newest{point.name.machine, {}};
  if (recorded && *recorded) newest = **recorded;

  CAIRN_TRY(const NewestPoints::Entry previous, state_->predecessor_of(point.name, newest));
  point.previous_name = previous.point;
  point.previous = previous.hash;
  const Buffer bytes = seal_point(point, store.keys, store.document.algorithm, store.document.id);
  if (bytes.size() > kMaxPointBytes)
    return fail(ErrorCode::internal, "commit recovery point", point.name.text(), "its document is larger than 64 MiB");
  CAIRN_CHECK(store.backend->put(point_object(point.name), bytes, IfExists::fail));

  // The point is there now, whatever comes. What the record said before is still true, it only knows less. One that
  // could not be read for the moment is not replaced: it may know of a point that is missing.
  if (!recorded && !is_damage_error(recorded.error())) return {};
  newest.add({point.name.text(), Blake3::hex_of(bytes)}, previous.point);
  if (const auto written = marks.write(newest); !written)
    log_error("newest-points-not-recorded", point.name.text(), written.error());
  return {};
}

// A newest point that is missing is named all the same, so that its loss shows even when nobody has looked until now.
Result<NewestPoints::Entry> StoreWriter::State::predecessor_of(const PointName& name, const NewestPoints& newest) {
  CAIRN_TRY(std::vector<PointName> known, store.marks().names_in("points/"));
  for (const NewestPoints::Entry& entry : newest.points)
    if (auto point = PointName::parse(entry.point)) known.push_back(*std::move(point));
  const auto previous = newest_before(name, known);
  if (!previous) return NewestPoints::Entry{};
  const auto recorded = std::ranges::find(newest.points, previous->text(), &NewestPoints::Entry::point);
  if (recorded != newest.points.end() && !recorded->hash.empty()) return *recorded;
  NewestPoints::Entry found{previous->text(), {}};
  if (const auto bytes = store.read_point_file(*previous))
    found.hash = Blake3::hex_of(*bytes);
  else
    log_error("point-unreadable", found.point, bytes.error());
  return found;
}

Result<void> StoreWriter::remove_point(const PointName& name) {
  auto removed = state_->store.backend->remove(point_object(name));
  if (!removed && removed.error().code == ErrorCode::object_missing)
    return fail(ErrorCode::point_missing, "remove recovery point", name.text());
  return removed;
}

}  // namespace cairn
