// SPDX-License-Identifier: GPL-3.0-or-later
// Store: an opened store, and the way to its parts: points, keys, chunks, index. What is done with a store is done by
// functions that take one: create_store (create_store.h), begin_writing (write/store_writer.h), rebuild_index and
// use_private_index (verify/rebuild_index.h), verify_store, repair_store, measure_space. Bytes and lock order:
// fs/store/FORMAT.md. Reading never takes the writer lock and never waits for the writer. Any thread.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "config/base/result.h"
#include "crypto/key_slots.h"
#include "fs/io/backend.h"
#include "fs/store/map/disk_reader.h"
#include "fs/store/point_catalog.h"
#include "fs/store/store_keys.h"
#include "fs/store/store_parameters.h"
#include "fs/store/stored_chunks.h"

namespace cairn {

struct StoreState;

class Store {
 public:
  // Errors: store_missing, not_a_store, store_too_new, store_damaged, wrong_key.
  static Result<std::unique_ptr<Store>> open(const std::filesystem::path& path, const UnlockKey& key);
  // The same with another backend for packs, points and store.json; lock and index stay where places_of()
  // (store_places.h) has them for `path`.
  static Result<std::unique_ptr<Store>> open(const std::filesystem::path& path, std::shared_ptr<Backend> backend,
                                             const UnlockKey& key);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  [[nodiscard]] const StoreInfo& info() const;
  [[nodiscard]] const std::filesystem::path& path() const;
  // What is wrong with store.json, when its copy had to be used to open the store.
  [[nodiscard]] const std::optional<Error>& document_trouble() const;

  // The parts; they live as long as the store.
  PointCatalog& points();
  StoreKeys& keys();
  StoredChunks& chunks();
  OpenIndex& index();
  UnlistedPacks& unlisted();

  // Reads a disk through `source` (a cache in front of this store) or directly.
  std::unique_ptr<DiskReader> open_disk(const MapRecord& map, std::string object, ChunkSource* source = nullptr);

  // What it consists of: for fs/store alone (fs/store/store_state.h).
  [[nodiscard]] StoreState& state() { return *state_; }

 private:
  explicit Store(std::unique_ptr<StoreState> state);
  std::unique_ptr<StoreState> state_;
};

// What people are to be told of the index: index_missing, index_damaged, index_outdated, or why it cannot be opened.
// Does not wait for others that read footers of packs: see UnlistedPacks::trouble_now().
// Nothing: it knows every pack, or a writer is at work, who tells it of new packs a while after they are there. Reading
// works all the same (unlisted_packs.h). Lists packs, later what has changed. Errors: those of listing.
Result<std::optional<Error>> index_trouble(Store& store);

// Counts by listing packs and points and asking the index. Errors: those of listing, and of the index.
Result<StoreUsage> count_usage(Store& store);

}  // namespace cairn
