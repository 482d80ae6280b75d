// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/write/writer_core.h"

#include <algorithm>
#include <thread>
#include <unordered_map>

#include "config/base/log.h"
#include "fs/store/document_pair.h"
#include "fs/store/index/index_place.h"

namespace cairn {
namespace {

constexpr unsigned kMaxLanes = 4;  // packs being filled at once: bounds the memory

// Makes the index fit the packs that are really there.
Result<void> reconcile(StoreState& store, Index& index) {
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
    const auto records = read_footer(store, name);
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
    log_event(LogLevel::error, "pack-missing", store.places.name(),
              {{"pack", entry.first}, {"effect", "its chunks will be stored anew"}});
    names.push_back(entry.first);
  }
  return index.forget(names);
}

}  // namespace

CollectingLock::Held::~Held() {
  if (of_ == nullptr) return;
  of_->holder_.lock()->clear();
}

Result<CollectingLock::Held> CollectingLock::take(const char* holder, const char* doing, const std::string& store) {
  const auto who = holder_.lock();
  if (!who->empty())
    return fail(ErrorCode::job_conflict, doing, store, *who + " is under way", "try again when it has ended");
  *who = holder;
  return Held(this);
}

WriterCore::WriterCore(StoreState& of, WriterLock taken, std::shared_ptr<Index> store_index)
    : store(of),
      lock(std::move(taken)),
      index(std::move(store_index)),
      sink(*store.backend, *index, store.keys, store.document.algorithm, store.document.id,
           std::clamp(std::thread::hardware_concurrency(), 1U, kMaxLanes)) {}

WriterCore::~WriterCore() {
  // Keeps what a cancelled backup stored: the next one finds it. A failure was reported where it happened.
  static_cast<void>(sink.flush().has_value());
}

Result<std::shared_ptr<WriterCore>> writer_core_of(StoreState& state, const std::string& purpose) {
  if (state.index.is_private())
    return fail(ErrorCode::permission_denied, "write to store", state.places.name(),
                "it was opened to be read, through an index elsewhere");
  auto writer = state.writer.lock();
  for (;;) {
    if (auto core = writer->core.lock()) return core;
    if (!writer->alive) break;
    state.writer_gone.wait(writer.held());  // one that is just ending still has the lock
  }
  CAIRN_TRY(WriterLock lock, WriterLock::take(state.places, purpose));
  CAIRN_CHECK(state.backend->remove_leftovers());
  // Whoever was killed in the last step of an init, or of a change of points or their state, has not seen to it that it
  // stays; nor that a folder of packs does, into which others are put now.
  CAIRN_CHECK(state.backend->settle(""));
  static_cast<void>(remove_index(state.places.new_index_folder).has_value());  // of an interrupted rebuild
  if (auto renewed = renew_document_copy(*state.backend, state.places.objects.path, state.keys); !renewed)
    log_error("store-document-copy", state.places.name(), renewed.error());  // no reason to take no backup
  state.index.forget();                                                      // another process may have rebuilt it
  CAIRN_TRY(auto opened, state.index.get());
  CAIRN_CHECK(reconcile(state, *opened));
  const auto end_core = [&state](WriterCore* core) {
    delete core;
    const auto writer_place = state.writer.lock();  // held while it is told: the store may go right after
    writer_place->alive = false;
    state.writer_gone.notify_all();
  };
  std::shared_ptr<WriterCore> core(new WriterCore(state, std::move(lock), std::move(opened)), end_core);
  writer->core = core;
  writer->alive = true;
  return core;
}

}  // namespace cairn
