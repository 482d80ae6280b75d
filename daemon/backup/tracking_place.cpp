// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/backup/tracking_place.h"

#include "crypto/chunk_name.h"
#include "daemon/process/state_lock.h"
#include "fs/file/folder.h"
#include "fs/io/open_backend.h"

namespace cairn {

TrackingPlace tracking_place(const std::filesystem::path& state_dir, const std::string& store_id) {
  TrackingPlace place;
  if (auto made = make_state_dir(state_dir); !made) {
    place.why_none = made.error().message();
    return place;
  }
  const auto above = Folder::open(state_dir);
  const auto folder = above ? above->make_folder("tracking/" + store_id) : Result<Folder>(pass_on(above.error()));
  if (!folder) {
    place.why_none = folder.error().message();
    return place;
  }
  std::error_code ignored;
  std::filesystem::path real = std::filesystem::canonical(state_dir, ignored);
  if (ignored) real = state_dir;
  place.records = open_backend(folder->path());
  place.owner = Blake3::hex_of(as_bytes(store_id + " " + real.string())).substr(0, 16);
  return place;
}

}  // namespace cairn
