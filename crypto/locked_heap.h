// LockedHeap: libcrypto's allocations go to the ordinary heap, except within a LockedScope, where they go to locked,
// guarded memory (sodium_malloc) and are wiped when freed. For key schedules. Any thread.
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>

namespace cairn::locked_heap {

// True when libcrypto took the hook, which it does only before its first allocation: this program's start.
bool is_hooked();

// From construction to destruction, libcrypto's allocations of this thread are locked ones. Those that find no room
// fail.
class LockedScope {
 public:
  LockedScope();
  ~LockedScope();
  LockedScope(const LockedScope&) = delete;
  LockedScope& operator=(const LockedScope&) = delete;
  // Allocations served from locked memory in this scope.
  [[nodiscard]] unsigned served() const;
};

std::size_t used_bytes();

}  // namespace cairn::locked_heap
