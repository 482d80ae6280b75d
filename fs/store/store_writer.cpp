// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/store_writer.h"

#include <algorithm>
#include <thread>
#include <unordered_set>

#include "config/base/log.h"
#include "fs/store/ingest.h"
#include "fs/store/point_file.h"
#include "fs/store/store_state.h"
#include "fs/store/writer_lock.h"

namespace cairn {

namespace {
constexpr unsigned kMaxLanes = 4;  // packs being filled at once: bounds the memory
}

struct StoreWriter::State {
  Store::State& store;
  WriterLock lock;
  std::shared_ptr<Index> index;
  RecordSink sink;

  State(Store::State& of, WriterLock taken, std::shared_ptr<Index> store_index)
      : store(of),
        lock(std::move(taken)),
        index(std::move(store_index)),
        sink(*store.backend, *index, store.keys, store.document.algorithm, store.document.id,
             std::clamp(std::thread::hardware_concurrency(), 1U, kMaxLanes)) {}

  // Makes the index fit the packs that are really there.
  static Result<void> reconcile(Store::State& store, Index& index);
};

Result<void> StoreWriter::State::reconcile(Store::State& store, Index& index) {
  CAIRN_TRY(const auto objects, store.backend->list("packs/"));
  CAIRN_TRY(const auto indexed, index.pack_names());
  std::unordered_set<std::string> gone(indexed.begin(), indexed.end());
  std::vector<IndexedPack> found;
  std::size_t found_records = 0;
  for (const std::string& name : pack_names_of(objects)) {
    if (gone.erase(name) != 0) continue;
    // Written by a backup that was interrupted before it came to the index.
    const auto records = store.read_footer(name);
    if (!records) {
      log_error("pack-damaged", name, records.error());
      continue;
    }
    found_records += records->records.size();
    found.push_back(*records);
    if (found_records >= kIndexBatchRecords) {
      CAIRN_CHECK(index.add(found));
      found.clear();
      found_records = 0;
    }
  }
  CAIRN_CHECK(index.add(found));
  if (gone.empty()) {
    // An index of an earlier version has none yet.
    CAIRN_TRY(const std::string epoch, index.epoch());
    return epoch.empty() ? index.renew_epoch() : Result<void>();
  }
  // New points must not build on what is not there any more.
  for (const std::string& name : gone)
    log_event(LogLevel::error, "pack-missing", store.directory.string(),
              {{"pack", name}, {"effect", "its chunks will be stored anew"}});
  const std::vector<std::string> names(gone.begin(), gone.end());
  return index.forget(names);
}

Result<std::shared_ptr<StoreWriter>> Store::begin_writing(const std::string& purpose) {
  std::unique_lock guard(state_->writer_mutex);
  for (;;) {
    if (auto writer = state_->writer.lock()) return writer;
    if (!state_->writer_alive) break;
    state_->writer_gone.wait(guard);  // one that is just ending still has the lock
  }
  CAIRN_TRY(WriterLock lock, WriterLock::take(state_->directory, purpose));
  CAIRN_CHECK(state_->backend->remove_leftovers());
  std::error_code ignored;
  std::filesystem::remove_all(state_->directory / "index.new", ignored);  // of an interrupted rebuild
  state_->forget_index();                                                 // another process may have rebuilt it
  CAIRN_TRY(auto index, state_->index());
  CAIRN_CHECK(StoreWriter::State::reconcile(*state_, *index));
  State& state = *state_;
  const auto end_writer = [&state](StoreWriter* writer) {
    delete writer;
    const std::lock_guard lock_state(state.writer_mutex);
    state.writer_alive = false;
    state.writer_gone.notify_all();
  };
  std::shared_ptr<StoreWriter> writer(
      new StoreWriter(std::make_unique<StoreWriter::State>(state, std::move(lock), std::move(index))), end_writer);
  state.writer = writer;
  state.writer_alive = true;
  return writer;
}

StoreWriter::StoreWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}

StoreWriter::~StoreWriter() {
  // Keeps what a cancelled backup stored: the next one finds it. A failure was reported where it happened.
  static_cast<void>(state_->sink.flush().has_value());
}

Result<IngestReport> StoreWriter::ingest(ImageReader& image, const IngestOptions& options) {
  const std::uint32_t chunk_size = state_->store.document.chunk_size;
  std::optional<CarryOver> carry_over;
  if (options.base) carry_over.emplace(*options.base->source, options.base->map, image.size(), chunk_size);
  return ingest_disk(state_->sink, state_->store.keys.namer(), chunk_size, image, options,
                     carry_over ? &*carry_over : nullptr);
}

Result<void> StoreWriter::flush() {
  return state_->sink.flush();
}

Result<std::string> StoreWriter::epoch() {
  return state_->index->epoch();
}

Result<void> StoreWriter::commit(RecoveryPoint& point) {
  CAIRN_CHECK(state_->sink.flush());
  const std::string prefix = "points/" + point.name.machine + "@";
  CAIRN_TRY(const auto objects, state_->store.backend->list("points/"));
  std::optional<PointName> previous;
  for (const std::string& object : objects) {
    if (!object.starts_with(prefix)) continue;
    const auto name = PointName::parse(std::string_view(object).substr(std::string_view("points/").size()));
    if (name && name->time < point.name.time && (!previous || *previous < *name)) previous = name;
  }
  point.previous.clear();
  point.previous_name.clear();
  if (previous) {
    point.previous_name = previous->text();
    if (const auto bytes = state_->store.read_point_file(*previous))
      point.previous = Blake3::hex_of(*bytes);
    else
      log_error("point-unreadable", point.previous_name, bytes.error());
  }
  const Buffer bytes =
      seal_point(point, state_->store.keys, state_->store.document.algorithm, state_->store.document.id);
  if (bytes.size() > kMaxPointBytes)
    return fail(ErrorCode::internal, "commit recovery point", point.name.text(), "its document is larger than 64 MiB");
  return state_->store.backend->put(point_object(point.name), bytes, IfExists::fail);
}

Result<void> StoreWriter::remove_point(const PointName& name) {
  auto removed = state_->store.backend->remove(point_object(name));
  if (!removed && removed.error().code == ErrorCode::object_missing)
    return fail(ErrorCode::point_missing, "remove recovery point", name.text());
  return removed;
}

}  // namespace cairn
