// SPDX-License-Identifier: GPL-3.0-or-later
// What whoever relies on a recovery point is told of it: see restore.h.
#include <fmt/format.h>

#include "config/base/error.h"
#include "daemon/keys/key_rules.h"
#include "daemon/restore/restore.h"

namespace cairn {

std::vector<std::string> point_warnings(const RecoveryPoint& point, const std::optional<std::string>& disk,
                                        const std::optional<UtcTime>& now) {
  std::vector<std::string> warnings;
  const std::string name = point.name.text();
  const auto add = [&](ErrorCode code, const char* doing, const std::string& object, std::string because) {
    warnings.push_back(as_warning(Error{code, doing, object, std::move(because), 0, {}}));
  };
  for (const DiskRecord& record : point.disks) {
    if (disk && *disk != record.name) continue;
    const std::string object = fmt::format("{}/{}", name, record.name);
    if (record.reading.consistency == Consistency::torn)
      add(ErrorCode::disk_torn, "call whole", object, record.reading.reason);
    if (record.suspicion)
      add(ErrorCode::disk_suspect, "take for the disk's last good state", object, record.suspicion->because);
  }
  if (now && is_in_future(point.name.time, *now))
    add(ErrorCode::point_in_future, "trust the date of", name,
        fmt::format("it is later than now ({})", iso_time(*now)));
  return warnings;
}

}  // namespace cairn
