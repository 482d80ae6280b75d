// SPDX-License-Identifier: GPL-3.0-or-later
// Operations: the FUSE callbacks. They translate between the kernel's calls and the tree, the readers and the cache,
// and hold no state of their own. No exception leaves them: it becomes EIO and a line in the log. Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "fs/mount/chunk_cache.h"
#include "fs/mount/failure_log.h"
#include "fs/mount/open_files.h"
#include "fs/mount/point_tree.h"
#include "fs/mount/read_ahead.h"

struct fuse_lowlevel_ops;  // NOLINT(readability-identifier-naming): libfuse's name

namespace cairn {

inline constexpr std::uint32_t kMaxReadBytes = 1024 * 1024;  // of one read request

// What the kernel holds by number until it releases it: open files and directories. A mount that is taken away by force
// never sees those releases; what is still here goes with the session. Any thread.
class Handles {
 public:
  template <class T>
  std::uint64_t keep(std::unique_ptr<T> opened) {
    const std::shared_ptr<T> shared = std::move(opened);
    const auto number = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(shared.get()));
    const std::lock_guard lock(mutex_);
    opened_[number] = shared;
    return number;
  }
  void drop(std::uint64_t number) {
    std::shared_ptr<void> last;  // ends outside the lock
    const std::lock_guard lock(mutex_);
    if (auto found = opened_.extract(number)) last = std::move(found.mapped());
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<void>> opened_;
};

// What the callbacks serve from. Constant but for what guards itself.
struct Served {
  PointTree& tree;
  OpenDisks& disks;
  ReadAhead& read_ahead;
  FailureLog& failures;
  Handles& handles;
  std::uint64_t read_ahead_bytes = 0;  // window of one sequential reader
  std::uint32_t chunk_size = 0;        // bytes
  bool allow_other = false;            // files and directories are open to all
  std::filesystem::path store_path;    // whose file system statfs reports
  std::function<void()> answering;     // the kernel has been greeted
  std::function<void()>
      changes_waiting;  // a callback came upon changes that the kernel must hear of: it cannot say so itself
};

// For fuse_session_new; its user data is a Served*.
const fuse_lowlevel_ops& mount_operations();

}  // namespace cairn
