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
      unlisted(index, *backend, keys, document.id, places.name()),
      key_slots(*backend, places, document, std::move(master_key), keys),
      points(*backend, seal()),
      chunks(index, packs, unlisted, places.name()) {}

Result<IndexedPack> read_footer(StoreState& state, const std::string& pack_name) {
  return read_pack_footer(*state.backend, state.keys, state.document.id, pack_name);
}

}  // namespace cairn
