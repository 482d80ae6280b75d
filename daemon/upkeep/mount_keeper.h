// SPDX-License-Identifier: GPL-3.0-or-later
// MountKeeper: the daemon's mount of the recovery points: takes a dead mount of an earlier daemon away, mounts, notices
// when somebody unmounts it. Backups matter more than the mount: a mount that fails is reported, and the daemon goes
// on. Any thread.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "config/base/guarded.h"
#include "config/base/result.h"
#include "config/settings.h"

namespace cairn {

class MountSession;
class Store;

// What the kernel says is mounted at `path` (/proc/self/mountinfo), as the "mount" member of the status document:
// "state" is "mounted" (recovery points, whoever serves them), "covered" (something else is mounted there) or
// "not mounted"; "unknown" with the error when that cannot be read.
nlohmann::json mount_seen(const std::filesystem::path& path);

class MountKeeper {
 public:
  // `store` must outlive this.
  MountKeeper(Store& store, MountSettings settings);
  ~MountKeeper();

  // Mounts unless it is mounted. The directory is made when its parent is there. Errors: as MountSession::start.
  Result<void> mount();
  bool is_mounted();
  // True once for each time the mount was found to have ended from outside.
  bool lost();
  // New points are to be shown now.
  void refresh();
  // The "mount" member of the status document.
  nlohmann::json status();
  Result<void> stop();

 private:
  struct State {
    std::shared_ptr<MountSession> session;
    std::optional<Error> error;  // why the last try failed
  };
  std::shared_ptr<MountSession> session();
  Result<std::shared_ptr<MountSession>> start();

  Store& store_;
  const MountSettings settings_;
  Guarded<State> state_;
};

}  // namespace cairn
