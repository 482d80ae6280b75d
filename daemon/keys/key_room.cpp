// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/keys/key_room.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "config/base/units.h"

namespace cairn {

Result<void> KeyRoom::take(const GatheredKeys& keys, const std::string& object) {
  std::uint64_t bytes = 0;
  for (const BekRecord& bek : keys.beks) bytes += json_text(to_json(bek, KeyMaterial::with)).size();
  for (const KekRecord& kek : keys.keks) bytes += json_text(to_json(kek, KeyMaterial::with)).size();
  if (bytes > kMostKeyBytes - taken_)
    return fail(ErrorCode::keys_too_large, "keep the keys of", object,
                fmt::format("they take {} in the recovery point, the other disks' keys {}, and all keys of a machine "
                            "together at most {}; nothing was read",
                            format_size(bytes), format_size(taken_), format_size(kMostKeyBytes)));
  taken_ += bytes;
  return {};
}

}  // namespace cairn
