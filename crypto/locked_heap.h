// SPDX-License-Identifier: GPL-3.0-or-later
// LockedHeap: libcrypto's allocations go to the ordinary heap, except within a LockedScope, where they go to locked,
// guarded memory (sodium_malloc) and are wiped when freed. Two rooms, each made when it is first used: 128 KiB for the
// key schedules of AES (kilobyte slots, of 64 threads), and 128 KiB for private keys (blocks of any size; one RSA-4096
// key being made or used takes up to 40 KiB, so rsa_key.cpp does one thing at a time). Any thread.
#pragma once

#include <cstddef>

namespace cairn::locked_heap {

// True when libcrypto took the hook, which it does only before its first allocation: this program's start.
bool is_hooked();

enum class Room { key_schedules, private_keys };

// From construction to destruction, libcrypto's allocations of this thread are locked ones, in that room. Those that
// find no room fail. Scopes of one thread do not nest.
class LockedScope {
 public:
  explicit LockedScope(Room room = Room::key_schedules);
  ~LockedScope();
  LockedScope(const LockedScope&) = delete;
  LockedScope& operator=(const LockedScope&) = delete;
  // Allocations served from locked memory in this scope.
  [[nodiscard]] unsigned served() const;
};

std::size_t used_bytes(Room room = Room::key_schedules);

}  // namespace cairn::locked_heap
