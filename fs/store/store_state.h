// SPDX-License-Identifier: GPL-3.0-or-later
// What Store and StoreWriter share. Internal to fs/store.
#pragma once

#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <unordered_map>

#include "fs/io/backend.h"
#include "fs/store/index/index.h"
#include "fs/store/pack/pack.h"
#include "fs/store/point/mark_files.h"
#include "fs/store/store.h"
#include "fs/store/store_document.h"

namespace cairn {

// Open packs, the most recently used ones. Any thread.
class PackCache {
 public:
  using SharedPack = std::shared_ptr<const PackReader>;
  PackCache(Backend& backend, const KeyRing& keys, const StoreId& store)
      : backend_(backend), keys_(keys), store_(store) {}
  // Errors: as PackReader::open.
  Result<SharedPack> open(const std::string& pack_name);
  void clear();
  // Lets go of a pack whose file is being removed.
  void drop(const std::string& pack_name);
  // Lets go of packs whose files another process has removed, so that their space comes back.
  void drop_removed();

 private:
  static constexpr std::size_t kOpenPacks = 256;  // file descriptors
  Backend& backend_;
  const KeyRing& keys_;
  const StoreId& store_;
  std::mutex mutex_;
  std::list<std::pair<std::string, SharedPack>> recent_;  // newest first
  std::unordered_map<std::string, decltype(recent_)::iterator> by_name_;
};

struct WriterCore;

struct Store::State {
  Store* self = nullptr;
  std::shared_ptr<Backend> backend;
  std::filesystem::path directory;
  StoreDocument document;  // slots guarded by document_mutex; the rest is constant
  std::mutex document_mutex;
  SecretBytes master_key;
  KeyRing keys;
  StoreInfo info;
  std::optional<Error> document_trouble;
  PackCache packs;
  std::mutex index_mutex;
  std::shared_ptr<Index> index_;  // guarded by index_mutex; null until first used, or after a rebuild
  std::mutex writer_mutex;
  std::condition_variable writer_gone;
  std::weak_ptr<WriterCore> writer;  // guarded by writer_mutex
  bool writer_alive = false;         // guarded by writer_mutex; true until its destructor has ended
  std::mutex marks_mutex;            // while marks change, and while a point is committed
  // What points that were read said of their predecessors: guarded by marks_mutex. Points never change.
  std::map<PointName, std::string> previous_names;

  State(std::shared_ptr<Backend> store_backend, std::filesystem::path path, StoreDocument store_document,
        SecretBytes key)
      : backend(std::move(store_backend)),
        directory(std::move(path)),
        document(std::move(store_document)),
        master_key(std::move(key)),
        keys(master_key),
        packs(*backend, keys, document.id) {
    info = {to_hex(document.id), kStoreVersion, document.chunk_size, document.algorithm, document.created};
  }

  std::filesystem::path private_index;  // set once, before anything is read; empty: the store's own

  [[nodiscard]] std::filesystem::path index_folder() const {
    return private_index.empty() ? directory / "index" : private_index;
  }
  // Opens it when needed; opens it anew when it was replaced. Errors: as Index::open.
  Result<std::shared_ptr<Index>> index();
  void forget_index();
  // The one that there is, or a new one with the writer lock. Errors: as Store::begin_writing.
  Result<std::shared_ptr<WriterCore>> writer_core(const std::string& purpose);
  // Errors: point_missing.
  Result<std::unique_ptr<ObjectHold>> hold_point(const PointName& name);
  // The record's place and its pack, open. A pack that garbage collection removes between the two is looked for again:
  // what is needed of it is elsewhere by then. Errors: as locate() and PackReader::open.
  struct OpenRecord {
    PackCache::SharedPack pack;
    RecordPlace place;
  };
  Result<OpenRecord> open_record(RecordKind kind, const ChunkName& name);
  // Where the record lies. Errors: chunk_missing, map_damaged (another kind), as Index::open and Index::locate.
  Result<Index::Located> locate(RecordKind kind, const ChunkName& name);
  // Errors: store_missing, not_a_store, store_too_new, store_damaged.
  Result<void> reload_document();
  Result<Buffer> read_point_file(const PointName& name);
  [[nodiscard]] DocumentSeal seal() const { return {keys, document.algorithm, document.id}; }
  [[nodiscard]] MarkFiles marks() { return {*backend, seal()}; }
  // A pack that was retired as damaged is whole again: it gets a new number, under which writers find it too. For
  // whoever holds the writer, and its `collecting`.
  Result<void> relist_pack(Index& index, const PackRow& row);
  // What the index needs to know of a pack, from its footer. Errors: as PackReader.
  Result<IndexedPack> read_footer(const std::string& pack_name);
};

// For what verifies and mends a store: its parts. Internal to fs/store.
struct StoreAccess {
  static auto& of(Store& store) { return *store.state_; }
};

}  // namespace cairn
