// SPDX-License-Identifier: GPL-3.0-or-later
// MountKeeper: the daemon's mount of the recovery points: takes a dead mount of an earlier daemon away, mounts, notices
// when somebody unmounts it. Backups matter more than the mount: a mount that fails is told, and the daemon goes on.
// Any thread.
#pragma once

#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "config/base/result.h"
#include "config/settings.h"

namespace cairn {

class MountSession;
class Store;

class MountKeeper {
 public:
  // `store` must outlive this.
  MountKeeper(Store& store, MountSettings settings);
  ~MountKeeper();

  // Mounts unless it is mounted. The directory is made when its parent is there. Errors: as MountSession::start.
  Result<void> mount();
  // True once for each time the mount was found to have ended from outside.
  bool lost();
  // New points are to be shown now.
  void refresh();
  // The "mount" member of the status document.
  nlohmann::json status();
  Result<void> stop();

 private:
  Result<void> mount_locked();

  Store& store_;
  const MountSettings settings_;
  std::mutex mutex_;
  std::shared_ptr<MountSession> session_;  // guarded by mutex_, as all below
  std::optional<Error> error_;
};

}  // namespace cairn
