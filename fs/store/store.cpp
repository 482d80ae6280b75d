// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/store.h"

#include "fs/io/open_backend.h"
#include "fs/store/document_pair.h"
#include "fs/store/store_state.h"

namespace cairn {

Store::Store(std::unique_ptr<StoreState> state) : state_(std::move(state)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(const std::filesystem::path& path, const UnlockKey& key) {
  return open(path, open_backend(path), key);
}

Result<std::unique_ptr<Store>> Store::open(const std::filesystem::path& path, std::shared_ptr<Backend> backend,
                                           const UnlockKey& key) {
  CAIRN_TRY(OpenedDocument opened, open_store_document(*backend, path, key));
  return std::unique_ptr<Store>(
      new Store(std::make_unique<StoreState>(std::move(backend), places_of(path), std::move(opened.document),
                                             std::move(opened.master_key), std::move(opened.trouble))));
}

const StoreInfo& Store::info() const {
  return state_->info;
}
const std::filesystem::path& Store::path() const {
  return state_->places.objects.path;
}
const std::optional<Error>& Store::document_trouble() const {
  return state_->document_trouble;
}
PointCatalog& Store::points() {
  return state_->points;
}
StoreKeys& Store::keys() {
  return state_->key_slots;
}
StoredChunks& Store::chunks() {
  return state_->chunks;
}
OpenIndex& Store::index() {
  return state_->index;
}
UnlistedPacks& Store::unlisted() {
  return state_->unlisted;
}

std::unique_ptr<DiskReader> Store::open_disk(const MapRecord& map, std::string object, ChunkSource* source) {
  return std::make_unique<DiskReader>(source != nullptr ? *source : state_->chunks, map, state_->info.chunk_size,
                                      std::move(object));
}

Result<StoreUsage> count_usage(Store& store) {
  Backend& backend = *store.state().backend;
  StoreUsage usage;
  CAIRN_TRY(const auto objects, backend.list("packs/"));
  const std::vector<std::string> packs = pack_names_of(objects);
  usage.packs = packs.size();
  for (const std::string& pack : packs) {
    const auto object = backend.open(pack_object(pack));
    if (object) usage.stored_bytes += (*object)->size();
  }
  CAIRN_TRY(const auto index, store.index().get());
  CAIRN_TRY(usage.chunks, index->record_count());
  CAIRN_TRY(const auto points, store.points().list());
  usage.points = points.size();
  for (const PointName& name : points) {
    const auto point = store.points().load(name);
    if (!point) continue;  // a damaged one shows in `points`
    for (const DiskRecord& disk : point->disks) usage.logical_bytes += disk.map.size;
  }
  return usage;
}

}  // namespace cairn
