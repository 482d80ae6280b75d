// SPDX-License-Identifier: GPL-3.0-or-later
// Mount points: what is mounted where (/proc/self/mountinfo, proc(5)), whether a directory can be mounted on, and
// taking Cairn's mounts down. Any thread.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"

namespace cairn {

inline constexpr std::string_view kMountType = "fuse.cairn";

struct MountEntry {
  dev_t device = 0;
  std::string path;
  std::string type;  // "fuse.cairn", "ext4"
};

// What a file of /proc has; as far as it could be read: the process that it is about, or what is listed in it, may end
// at any moment.
std::string proc_text(const std::string& path);

// Lines that are not as proc(5) says are passed over.
std::vector<MountEntry> parse_mountinfo(std::string_view text);

// Absolute, without symbolic links; works where the last part is a dead mount.
std::filesystem::path settle_path(const std::filesystem::path& path);
// The same but for the last part, which is not touched: whoever serves it may not answer. A link there stays one.
std::filesystem::path settle_above(const std::filesystem::path& path);
// What is mounted last at exactly this settled path.
Result<std::optional<MountEntry>> mounted_at(const std::filesystem::path& settled);

// Errors: no_fuse.
Result<void> check_fuse();
// Makes sure that `settled` can be mounted on. A dead mount that a killed Cairn has left there is taken away.
// Errors: mount_point_missing, mount_point_not_empty, mount_point_busy, permission_denied, io_error.
Result<void> prepare_mount_point(const std::filesystem::path& settled);

// detach: files that are open go on to be served where that can be. abort: the server's connection ends first, so that
// nobody waits for it, in other mount namespaces neither.
enum class WhenBusy { refuse, detach, abort };
// Takes the top mount at `settled` away, with umount2(2) as root and fusermount3(1) otherwise.
// Errors: mount_point_busy, not_mounted, permission_denied, mount_failed.
Result<void> take_down(const std::filesystem::path& settled, WhenBusy when_busy);

}  // namespace cairn
