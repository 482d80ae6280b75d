// SPDX-License-Identifier: GPL-3.0-or-later
// MountSession: recovery points as files, through libfuse3's low-level API. Layout: design of the tree in
// fs/mount/MOUNT.md. Serves from threads of its own until stop() or until somebody unmounts it.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>

#include "config/base/result.h"

namespace cairn {

class Store;

struct MountOptions {
  std::filesystem::path path;
  bool allow_other = false;
  std::uint64_t cache_bytes = 64ULL * 1024 * 1024;  // opened chunks kept in memory, at most
  unsigned threads = 0;                             // 0: chosen from the number of cores
  std::chrono::milliseconds refresh{1000};          // how soon new points show
};

class MountSession {
 public:
  // Mounted and answering on return. `store` must outlive the session.
  // Errors: no_fuse, mount_point_missing, mount_point_not_empty, mount_point_busy (something is mounted there),
  //         permission_denied, mount_failed.
  static Result<std::unique_ptr<MountSession>> start(Store& store, const MountOptions& options);
  // As stop().
  ~MountSession();

  // Looks for new and vanished points now. Any thread.
  void refresh();
  // Waits until the session has ended, by stop() or by an unmount from outside.
  void wait();
  // True once it has ended.
  [[nodiscard]] bool ended() const;
  // Ends the connection, so that nobody waits for it any more, unmounts, and ends the threads; who had files open is
  // logged. A thread that does not come back from the store within kLeaveAfter is left behind
  // (config/base/left_behind.h). Safe to call twice.
  Result<void> stop();

 private:
  struct State;
  explicit MountSession(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Unmounts what Cairn has mounted at `path`, from any process, and ends its connection, wherever else it is mounted.
// Errors: not_mounted, mount_point_busy (says who has files open).
Result<void> unmount(const std::filesystem::path& path);

}  // namespace cairn
