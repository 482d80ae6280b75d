// SPDX-License-Identifier: GPL-3.0-or-later
// unmount() of session.h: a mount that some other process serves.
#include "fs/mount/mount_point.h"
#include "fs/mount/mount_users.h"
#include "fs/mount/session.h"

namespace cairn {

Result<void> unmount(const std::filesystem::path& path) {
  const std::filesystem::path settled = settle_path(path);
  CAIRN_TRY(const auto mount, mounted_at(settled));
  if (!mount || mount->type != kMountType)
    return fail(ErrorCode::not_mounted, "unmount recovery points", settled.string(),
                mount ? "what is mounted there is of type " + mount->type : "nothing is mounted there");
  const auto busy = [&](const std::vector<MountUser>& users) {
    return fail(ErrorCode::mount_point_busy, "unmount recovery points", settled.string(), in_words(users));
  };
  // Also those in other mount namespaces, which an unmount here would not meet.
  if (const auto users = users_of_mount(mount->device); !users.empty()) return busy(users);
  auto down = take_down(settled, WhenBusy::refuse);
  if (!down && down.error().code == ErrorCode::mount_point_busy)
    if (const auto users = users_of_mount(mount->device); !users.empty()) return busy(users);
  CAIRN_CHECK(down);
  // A copy of the mount that another namespace was left with would keep its server for ever.
  if (is_mounted_somewhere(mount->device)) (void)abort_connection(mount->device);
  return {};
}

}  // namespace cairn
