// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/locked_arena.h"

#include <sodium.h>

#include <algorithm>
#include <functional>

#include "config/base/result.h"

namespace cairn {

LockedArena::LockedArena(std::size_t bytes) {
  static constexpr std::size_t kPage = 4096;
  const std::size_t size = (bytes + kPage - 1) / kPage * kPage;
  bytes_ = static_cast<std::uint8_t*>(sodium_malloc(size));
  // Memory that may be swapped out is no place for keys.
  if (bytes_ != nullptr && sodium_mlock(bytes_, size) != 0) {
    sodium_free(bytes_);
    bytes_ = nullptr;
  }
  if (bytes_ != nullptr) units_ = size / kUnit;
  taken_.resize(units_);
}

LockedArena::~LockedArena() {
  sodium_free(bytes_);
}

std::size_t LockedArena::unit_of(const void* memory) const {
  CAIRN_ASSERT(holds(memory));
  return static_cast<std::size_t>(static_cast<const std::uint8_t*>(memory) - bytes_) / kUnit;
}

void* LockedArena::take(std::size_t size) {
  if (size > units_ * kUnit) return nullptr;
  const std::size_t wanted = std::max<std::size_t>(1, (size + kUnit - 1) / kUnit);
  const std::lock_guard lock(mutex_);
  std::size_t free = 0;  // units before `unit` that are free
  for (std::size_t unit = 0; unit < units_;) {
    if (taken_[unit] != 0) {
      unit += taken_[unit];
      free = 0;
      continue;
    }
    ++unit;
    if (++free < wanted) continue;
    taken_[unit - wanted] = static_cast<std::uint32_t>(wanted);
    used_units_ += wanted;
    return bytes_ + (unit - wanted) * kUnit;
  }
  return nullptr;
}

void LockedArena::give_back(void* memory) {
  const std::size_t unit = unit_of(memory);
  const std::lock_guard lock(mutex_);
  CAIRN_ASSERT(taken_[unit] != 0);
  sodium_memzero(memory, taken_[unit] * kUnit);
  used_units_ -= taken_[unit];
  taken_[unit] = 0;
}

std::size_t LockedArena::room_of(const void* memory) {
  const std::size_t unit = unit_of(memory);
  const std::lock_guard lock(mutex_);
  return taken_[unit] * kUnit;
}

bool LockedArena::holds(const void* memory) const {
  const std::less<> before;
  return bytes_ != nullptr && !before(memory, bytes_) && before(memory, bytes_ + units_ * kUnit);
}

std::size_t LockedArena::used_bytes() {
  const std::lock_guard lock(mutex_);
  return used_units_ * kUnit;
}

}  // namespace cairn
