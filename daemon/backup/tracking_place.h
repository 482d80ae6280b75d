// SPDX-License-Identifier: GPL-3.0-or-later
// TrackingPlace: where the records of change tracking are kept, for one store. Change tracking: fs/image/TRACKING.md.
// Any thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "fs/io/backend.h"

namespace cairn {

struct TrackingPlace {
  std::shared_ptr<Backend> records;  // null: none can be kept
  std::string why_none;              // in words
  std::string owner;                 // in the names of clones: whose they are
};

// Below `state_dir`, which is made when its parent is there.
TrackingPlace tracking_place(const std::filesystem::path& state_dir, const std::string& store_id);

}  // namespace cairn
