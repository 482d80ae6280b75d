// SPDX-License-Identifier: GPL-3.0-or-later
// MapGuard: keeps the process alive when a file that LMDB has mapped is cut off, overwritten or cannot be read any
// more. The index is only a cache: losing it must not end a daemon with all its jobs, or a mount. Internal to
// fs/store/index. Any thread.
//
// A page that cannot be read (SIGBUS) makes the whole map zeros, and broken() true: what was read since is not to be
// believed, and nothing is to be written any more. No reader is thrown out of what it is doing. Pages full of garbage
// can lead LMDB anywhere: guarded() runs a call of LMDB so that a wild pointer (SIGSEGV) or a failed assertion of LMDB
// ends that call, and nothing else, with MDB_CORRUPTED. Signals at other addresses go to whoever had them before.
//
// What it cannot do: LMDB copies a page that it is going to change into memory of its own, by the lengths that stand in
// the page. Pages that go bad under a process that writes can so overwrite that process's memory. Index::State::
// begin_write() therefore has the pages checked again when somebody else wrote to the file. Bytes that change within
// one tick of the file system's clock of our own write, or on the disk below the file system, or in an index above 64
// MiB (index_check.h) are not noticed beforehand. Without /proc, the maps are not found: pages are then guarded while
// LMDB reads them, and filters (index_runs.h) are not.
#pragma once

#include <lmdb.h>
#include <setjmp.h>
#include <sys/stat.h>

#include <array>
#include <atomic>

namespace cairn {

class MapGuard {
 public:
  MapGuard() = default;
  ~MapGuard();
  MapGuard(const MapGuard&) = delete;
  MapGuard& operator=(const MapGuard&) = delete;

  // For an environment that is just made, and which must not outlive this.
  void attach(MDB_env* env);
  // Finds where the opened environment's files are mapped, in /proc/self/maps. `page`: anywhere in the data map.
  // `lock`: facts of lock.mdb; null: there is none. Until forget(), which comes before the environment is closed.
  void watch(const void* page, const struct stat* lock);
  void forget();

  [[nodiscard]] bool broken() const { return broken_.load(std::memory_order_acquire); }
  void set_broken() { broken_.store(true, std::memory_order_release); }
  // A transaction could not even be ended: LMDB's own memory is not to be used again, nor freed.
  [[nodiscard]] bool abandoned() const { return abandoned_.load(std::memory_order_acquire); }
  void set_abandoned() { abandoned_.store(true, std::memory_order_release); }

 private:
  std::atomic<bool> broken_ = false;
  std::atomic<bool> abandoned_ = false;
  std::array<int, 2> slots_{-1, -1};
};

// Where guarded() continues. Internal.
struct GuardFrame {
  sigjmp_buf place;
  GuardFrame* outer = nullptr;
};
GuardFrame*& guard_frame();

// Runs `call`, which calls LMDB and does nothing else: nothing in it may have a destructor, for those are not run when
// it is left. Its code, or MDB_CORRUPTED. Not inlined, so that no variable of the caller lives across sigsetjmp().
template <class Call>
[[gnu::noinline]] int guarded(MapGuard& guard, const Call& call) {
  GuardFrame frame;
  frame.outer = guard_frame();
  if (sigsetjmp(frame.place, 0) != 0) {
    guard_frame() = guard_frame()->outer;
    guard.set_broken();
    return MDB_CORRUPTED;
  }
  guard_frame() = &frame;
  const int code = call();
  guard_frame() = frame.outer;
  return code;
}

}  // namespace cairn
