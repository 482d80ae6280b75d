// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/locked_heap.h"

#include <openssl/crypto.h>
#include <sodium.h>

#include <atomic>
#include <bitset>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>

#include "config/base/guarded.h"
#include "config/base/result.h"
#include "crypto/locked_arena.h"

namespace cairn::locked_heap {
namespace {

// A context takes two: its outer part (some 200 bytes) and the cipher's (about 700, with the key schedule).
constexpr std::size_t kSlotBytes = 1024;
constexpr std::size_t kSlots = 128;  // of 64 threads

constexpr std::size_t kPrivateKeyBytes = std::size_t{128} * 1024;

// Fixed slots in one region. Never destroyed: threads may end after everything else.
struct Region {
  Guarded<std::bitset<kSlots>> slots;  // true: taken
  std::uint8_t* bytes = nullptr;

  Region() : bytes(static_cast<std::uint8_t*>(sodium_malloc(kSlotBytes * kSlots))) {
    // Memory that may be swapped out is no place for keys.
    if (bytes != nullptr && sodium_mlock(bytes, kSlotBytes * kSlots) != 0) {
      sodium_free(bytes);
      bytes = nullptr;
    }
  }

  void* take(std::size_t size) {
    if (bytes == nullptr || size > kSlotBytes) return nullptr;
    const auto taken = slots.lock();
    for (std::size_t i = 0; i < kSlots; ++i) {
      if (taken->test(i)) continue;
      taken->set(i);
      return bytes + i * kSlotBytes;
    }
    return nullptr;
  }

  [[nodiscard]] bool holds(const void* memory) const {
    const std::less<> before;
    return bytes != nullptr && !before(memory, bytes) && before(memory, bytes + kSlotBytes * kSlots);
  }

  void give_back(void* memory) {
    sodium_memzero(memory, kSlotBytes);
    slots.lock()->reset(static_cast<std::size_t>(static_cast<std::uint8_t*>(memory) - bytes) / kSlotBytes);
  }
};

// Made when the first scope begins (libsodium has been started by then); until then nothing can lie in it.
std::atomic<Region*> the_region = nullptr;
Region& region() {
  static Region* const made = [] {
    auto* fresh = new Region;
    the_region.store(fresh, std::memory_order_release);
    return fresh;
  }();
  return *made;
}

// The same for private keys. Never destroyed.
std::atomic<LockedArena*> the_arena = nullptr;
LockedArena& arena() {
  static LockedArena* const made = [] {
    auto* fresh = new LockedArena(kPrivateKeyBytes);
    the_arena.store(fresh, std::memory_order_release);
    return fresh;
  }();
  return *made;
}

thread_local std::optional<Room> room_here;
thread_local unsigned served_here = 0;

// The region that holds this memory, if it is the locked one.
Region* locked_region_of(const void* memory) {
  Region* const here = the_region.load(std::memory_order_acquire);
  return here != nullptr && here->holds(memory) ? here : nullptr;
}

LockedArena* arena_of(const void* memory) {
  LockedArena* const here = the_arena.load(std::memory_order_acquire);
  return here != nullptr && here->holds(memory) ? here : nullptr;
}

void* allocate(std::size_t size, const char* /*file*/, int /*line*/) {
  if (!room_here) return std::malloc(size);
  void* memory = *room_here == Room::key_schedules ? region().take(size) : arena().take(size);
  if (memory != nullptr) ++served_here;
  return memory;
}

void release(void* memory, const char* /*file*/, int /*line*/) {
  if (Region* const locked = locked_region_of(memory))
    locked->give_back(memory);
  else if (LockedArena* const arena_here = arena_of(memory))
    arena_here->give_back(memory);
  else
    std::free(memory);
}

// What lies in locked memory stays there, within a scope or not.
void* reallocate(void* memory, std::size_t size, const char* file, int line) {
  if (memory == nullptr) return allocate(size, file, line);
  // A slot has room for all that was ever served.
  if (locked_region_of(memory) != nullptr) return size <= kSlotBytes ? memory : nullptr;
  LockedArena* const arena_here = arena_of(memory);
  if (arena_here == nullptr) return std::realloc(memory, size);
  const std::size_t room = arena_here->room_of(memory);
  if (size <= room) return memory;
  void* const larger = arena_here->take(size);
  if (larger == nullptr) return nullptr;
  std::memcpy(larger, memory, room);
  arena_here->give_back(memory);
  return larger;
}

bool hooked = false;

void hook(int /*argc*/, char** /*argv*/, char** /*environment*/) {
  hooked = CRYPTO_set_mem_functions(allocate, reallocate, release) == 1;
}

// Before the constructors of all shared libraries, of which some (cpp-httplib's) have libcrypto allocate.
[[gnu::section(".preinit_array"), gnu::used]] void (*const run_first)(int, char**, char**) = hook;

}  // namespace

bool is_hooked() {
  return hooked;
}

LockedScope::LockedScope(Room room) {
  CAIRN_ASSERT(!room_here);
  if (room == Room::key_schedules)
    region();
  else
    arena();
  served_here = 0;
  room_here = room;
}

LockedScope::~LockedScope() {
  room_here.reset();
}

unsigned LockedScope::served() const {
  return served_here;
}

std::size_t used_bytes(Room room) {
  if (room == Room::private_keys) return arena().used_bytes();
  Region& here = region();
  return here.slots.lock()->count() * kSlotBytes;
}

}  // namespace cairn::locked_heap
