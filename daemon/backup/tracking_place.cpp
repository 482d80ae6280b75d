// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/backup/tracking_place.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "crypto/chunk_name.h"
#include "daemon/process/state_lock.h"
#include "fs/io/open_backend.h"

namespace cairn {

TrackingPlace tracking_place(const std::filesystem::path& state_dir, const std::string& store_id) {
  TrackingPlace place;
  if (auto made = make_state_dir(state_dir); !made) {
    place.why_none = made.error().message();
    return place;
  }
  std::filesystem::path folder = state_dir;
  for (const std::string& step : {std::string("tracking"), store_id}) {
    folder /= step;
    if (::mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) continue;
    place.why_none = fmt::format("cannot make folder {}: {}", folder.string(), std::strerror(errno));
    return place;
  }
  std::error_code ignored;
  std::filesystem::path real = std::filesystem::canonical(state_dir, ignored);
  if (ignored) real = state_dir;
  place.records = open_backend(folder);
  place.owner = Blake3::hex_of(as_bytes(store_id + " " + real.string())).substr(0, 16);
  return place;
}

}  // namespace cairn
