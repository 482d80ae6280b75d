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
  blocks_.lock()->taken.resize(units_);
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
  const auto blocks = blocks_.lock();
  std::size_t free = 0;  // units before `unit` that are free
  for (std::size_t unit = 0; unit < units_;) {
    if (blocks->taken[unit] != 0) {
      unit += blocks->taken[unit];
      free = 0;
      continue;
    }
    ++unit;
    if (++free < wanted) continue;
    blocks->taken[unit - wanted] = static_cast<std::uint32_t>(wanted);
    blocks->used_units += wanted;
    return bytes_ + (unit - wanted) * kUnit;
  }
  return nullptr;
}

void LockedArena::give_back(void* memory) {
  const std::size_t unit = unit_of(memory);
  const auto blocks = blocks_.lock();
  CAIRN_ASSERT(blocks->taken[unit] != 0);
  sodium_memzero(memory, blocks->taken[unit] * kUnit);
  blocks->used_units -= blocks->taken[unit];
  blocks->taken[unit] = 0;
}

std::size_t LockedArena::room_of(const void* memory) {
  const std::size_t unit = unit_of(memory);
  const auto blocks = blocks_.lock();
  return blocks->taken[unit] * kUnit;
}

bool LockedArena::holds(const void* memory) const {
  const std::less<> before;
  return bytes_ != nullptr && !before(memory, bytes_) && before(memory, bytes_ + units_ * kUnit);
}

std::size_t LockedArena::used_bytes() {
  const auto blocks = blocks_.lock();
  return blocks->used_units * kUnit;
}

}  // namespace cairn
