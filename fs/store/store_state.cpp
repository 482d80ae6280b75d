// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/store_state.h"

namespace cairn {

StoreState::StoreState(std::shared_ptr<Backend> store_backend, StorePlaces its_places, StoreDocument store_document,
                       SecretBytes master_key, std::optional<Error> trouble)
    : backend(std::move(store_backend)),
      places(std::move(its_places)),
      document(std::move(store_document)),
      keys(master_key),
      info{to_hex(document.id), kStoreVersion, document.chunk_size, document.algorithm, document.created},
      document_trouble(std::move(trouble)),
      index(places.index_folder, document.id),
      packs(*backend, keys, document.id),
      key_slots(*backend, places, document, std::move(master_key), keys),
      points(*backend, seal()),
      chunks(index, packs, places.name()) {}

Result<IndexedPack> read_footer(StoreState& state, const std::string& pack_name) {
  CAIRN_TRY(const auto pack, PackReader::open(*state.backend, pack_name, state.keys, state.document.id));
  CAIRN_TRY(auto records, pack->read_footer());
  return IndexedPack{pack_name, pack->size(), std::move(records)};
}

}  // namespace cairn
