// SPDX-License-Identifier: GPL-3.0-or-later
// Making a store's index from what its packs' footers say. One call at a time for each store.
#pragma once

#include <filesystem>

#include "config/base/result.h"
#include "fs/store/store_parameters.h"

namespace cairn {

class Index;
class Store;
struct PackRow;
struct StoreState;

// Takes the writer lock; replaces the index by what the packs' footers say. Damaged packs are named and left alone.
// Errors: store_locked, no_space, io_error.
Result<RebuildReport> rebuild_index(Store& store);
// For a store whose own index is gone, or that cannot be written, such as one on read-only media: makes an index in
// the new directory `folder`, and reads through that from now on. This Store object cannot write then.
Result<RebuildReport> use_private_index(Store& store, const std::filesystem::path& folder);

// A pack that was retired as damaged is whole again: it gets a new number, under which writers find it too. For
// whoever holds the writer, and its CollectingLock. Internal to fs/store.
Result<void> relist_pack(StoreState& state, Index& index, const PackRow& row);

}  // namespace cairn
