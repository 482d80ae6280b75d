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

void tell(const StoreState& store, const char* event, const std::string& pack) {
  log_event(LogLevel::error, event, store.places.name(),
            {{"pack", pack}, {"effect", "its chunks will be stored anew"}});
}

// Takes packs into the index that were written by a backup which was interrupted before it came to that.
class UnlistedToIndex {
 public:
  UnlistedToIndex(StoreState& store, Index& index) : store_(store), index_(index) {}

  Result<void> take(const std::string& name) {
    auto records = read_footer(store_, name);
    if (!records) {
      log_error("pack-damaged", name, records.error());
      return {};
    }
    // It may have been killed before the pack's name was on the disk.
    CAIRN_CHECK(settle());
    records_ += records->records.size();
    found_.push_back(*std::move(records));
    return records_ < kIndexBatchRecords ? Result<void>() : finish();
  }
  Result<void> finish() {
    CAIRN_CHECK(index_.add(found_));
    found_.clear();
    records_ = 0;
    return {};
  }
  Result<void> settle() {
    if (!settled_) CAIRN_CHECK(store_.backend->settle("packs/"));
    settled_ = true;
    return {};
  }

 private:
  StoreState& store_;
  Index& index_;
  std::vector<IndexedPack> found_;
  std::size_t records_ = 0;
  bool settled_ = false;
};

// New points must not build on what is not as it was written.
Result<void> retire_other_size(StoreState& store, Index& index, std::span<const PackRow* const> packs) {
  if (packs.empty()) return {};
  std::vector<PackNumber> numbers;
  for (const PackRow* pack : packs) {
    tell(store, "pack-of-other-size", pack->name);
    numbers.push_back(pack->number);
  }
  return index.retire(numbers, Retired::damaged);
}

// Makes the index fit the packs that are really there. Measured for 100,000 packs: SCALING.md.
Result<PackFindings> reconcile(StoreState& store, Index& index) {
  CAIRN_TRY(const auto objects, store.backend->list_sizes("packs/"));
  CAIRN_TRY(const auto rows, index.packs());
  std::unordered_map<std::string_view, const PackRow*> gone;
  for (const PackRow& row : rows) gone.emplace(row.name, &row);
  UnlistedToIndex unlisted(store, index);
  std::vector<const PackRow*> other_size;
  for (const ListedObject& object : objects) {
    const auto name = pack_name_of(object.name);
    if (!name) continue;
    const auto row = gone.find(*name);
    if (row == gone.end()) {
      CAIRN_CHECK(unlisted.take(*name));
      continue;
    }
    if (row->second->retired == Retired::no && row->second->size != object.size) other_size.push_back(row->second);
    gone.erase(row);
  }
  CAIRN_CHECK(unlisted.finish());
  PackFindings findings;
  for (const PackRow* pack : other_size) findings.other_size.push_back(pack->name);
  CAIRN_CHECK(retire_other_size(store, index, other_size));
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
    CAIRN_CHECK(unlisted.settle());
    CAIRN_CHECK(index.drop(removed));
  }
  if (gone.empty()) {
    // An index of an earlier version has none yet.
    CAIRN_TRY(const std::string epoch, index.epoch());
    if (epoch.empty()) CAIRN_CHECK(index.renew_epoch());
    return findings;
  }
  for (const auto& entry : gone) findings.missing.emplace_back(entry.first);
  std::ranges::sort(findings.missing);
  for (const std::string& pack : findings.missing) tell(store, "pack-missing", pack);
  CAIRN_CHECK(index.forget(findings.missing));
  return findings;
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

WriterCore::WriterCore(StoreState& of, WriterLock taken, std::shared_ptr<Index> store_index, PackFindings found)
    : store(of),
      lock(std::move(taken)),
      index(std::move(store_index)),
      findings(std::move(found)),
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
  CAIRN_TRY(PackFindings findings, reconcile(state, *opened));
  const auto end_core = [&state](WriterCore* core) {
    delete core;
    const auto writer_place = state.writer.lock();  // held while it is told: the store may go right after
    writer_place->alive = false;
    state.writer_gone.notify_all();
  };
  std::shared_ptr<WriterCore> core(new WriterCore(state, std::move(lock), std::move(opened), std::move(findings)),
                                   end_core);
  writer->core = core;
  writer->alive = true;
  return core;
}

}  // namespace cairn
