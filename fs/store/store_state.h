// SPDX-License-Identifier: GPL-3.0-or-later
// StoreState: what an opened store consists of: its parts, and what its writers share. Internal to fs/store.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "config/base/guarded.h"
#include "crypto/key_ring.h"
#include "fs/io/backend.h"
#include "fs/store/open_index.h"
#include "fs/store/pack/open_packs.h"
#include "fs/store/point/sealed_document.h"
#include "fs/store/point_catalog.h"
#include "fs/store/store_document.h"
#include "fs/store/store_keys.h"
#include "fs/store/store_parameters.h"
#include "fs/store/store_places.h"
#include "fs/store/stored_chunks.h"
#include "fs/store/unlisted_packs.h"

namespace cairn {

struct WriterCore;

struct StoreState {
  const std::shared_ptr<Backend> backend;
  const StorePlaces places;
  const StoreDocument document;  // as it was opened; its slots now: key_slots
  const KeyRing keys;
  const StoreInfo info;
  const std::optional<Error> document_trouble;

  OpenIndex index;
  OpenPacks packs;
  UnlistedPacks unlisted;
  StoreKeys key_slots;
  PointCatalog points;
  StoredChunks chunks;

  // What this process' writers share, if any is there.
  struct Writer {
    std::weak_ptr<WriterCore> core;
    bool alive = false;  // true until the core's destructor has ended
  };
  Guarded<Writer> writer;
  std::condition_variable writer_gone;
  // Locked while the states of points change, and while a point is committed.
  struct PointChanges {
    std::map<PointName, std::string> previous_names;  // as points that were read name theirs; points never change
  };
  Guarded<PointChanges> point_changes;

  StoreState(std::shared_ptr<Backend> store_backend, StorePlaces its_places, StoreDocument store_document,
             SecretBytes master_key, std::optional<Error> trouble);
  [[nodiscard]] DocumentSeal seal() const { return {keys, document.algorithm, document.id}; }
};

// What the index needs to know of a pack, from its footer. Errors: as PackReader.
Result<IndexedPack> read_footer(StoreState& state, const std::string& pack_name);

}  // namespace cairn
