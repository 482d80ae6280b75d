// SPDX-License-Identifier: GPL-3.0-or-later
// LockedArena: a small heap of blocks of any size in one region of locked, guarded memory (sodium_malloc). Blocks are
// wiped when they are given back. First fit: made for tens of kilobytes, not for speed. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "config/base/guarded.h"

namespace cairn {

class LockedArena {
 public:
  // Rounded up to whole pages. Without locked memory to be had it is empty, and takes fail.
  explicit LockedArena(std::size_t bytes);
  ~LockedArena();
  LockedArena(const LockedArena&) = delete;
  LockedArena& operator=(const LockedArena&) = delete;

  // Aligned to 64 bytes; nullptr: no room.
  void* take(std::size_t size);
  // What take() gave; wiped.
  void give_back(void* memory);
  // How much a taken block can hold.
  std::size_t room_of(const void* memory);
  [[nodiscard]] bool holds(const void* memory) const;
  std::size_t used_bytes();

 private:
  static constexpr std::size_t kUnit = 64;
  [[nodiscard]] std::size_t unit_of(const void* memory) const;

  std::uint8_t* bytes_ = nullptr;  // constant after construction
  std::size_t units_ = 0;          // constant after construction
  struct Blocks {
    std::vector<std::uint32_t> taken;  // for each unit: those of the block that starts there; 0: none starts there
    std::size_t used_units = 0;
  };
  Guarded<Blocks> blocks_;
};

}  // namespace cairn
