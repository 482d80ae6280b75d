// SPDX-License-Identifier: GPL-3.0-or-later
// StorePlaces: where the parts of a store lie. Its objects may be anywhere that a Backend reaches; the writer lock and
// the index are files of this host, as flock(2) and LMDB want them. places_of() alone decides; nobody else puts these
// paths together. Pure. Any thread.
#pragma once

#include <filesystem>
#include <string>

#include "config/backend_place.h"

namespace cairn {

struct StorePlaces {
  BackendPlace objects;                // packs, points, store.json
  std::filesystem::path lock_folder;   // holds the writer lock
  std::filesystem::path index_folder;  // is the index
  // Where a new index is made before it takes the place of the other: on the same file system.
  std::filesystem::path new_index_folder;

  static constexpr const char* kLockName = "lock";  // in lock_folder
  // The store in messages.
  [[nodiscard]] std::string name() const { return objects.path.string(); }
};

// A local store has its lock (`lock`) and its index (`index`) in its own directory.
StorePlaces places_of(const BackendPlace& objects);

}  // namespace cairn
