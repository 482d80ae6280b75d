// SPDX-License-Identifier: GPL-3.0-or-later
// store.json: what a store is and who can open it. Bytes: fs/store/FORMAT.md "store.json". Any thread.
#pragma once

#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "crypto/key_ring.h"
#include "crypto/key_slots.h"
#include "crypto/sealer.h"
#include "fs/store/pack/pack.h"

namespace cairn {

inline constexpr std::uint32_t kStoreVersion = 1;

struct StoreDocument {
  StoreId id{};
  UtcTime created;
  std::uint32_t chunk_size = 0;  // bytes
  SealAlgorithm algorithm{};
  std::vector<KeySlot> slots;
  std::string mac;  // hex; over everything else, under a key derived from the master key
};

// The text of store.json, with its MAC made anew.
std::string write_store_document(const StoreDocument& document, const KeyRing& keys);
// Checks everything that can be checked without a key.
// Errors: not_a_store, store_too_new, store_damaged.
Result<StoreDocument> read_store_document(std::string_view text, const std::string& object);
// Errors: store_damaged when the document is not the one that was written.
Result<void> check_store_document(std::string_view text, const StoreDocument& document, const KeyRing& keys,
                                  const std::string& object);

}  // namespace cairn
