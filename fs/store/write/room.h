// SPDX-License-Identifier: GPL-3.0-or-later
// Room: how much a disk will need of the store at least, from a sample of it, and how much there is: so that a backup
// that cannot succeed ends before it has filled the file system for the others. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>

#include "config/base/result.h"
#include "fs/image/image_reader.h"

namespace cairn {

class StoreWriter;

// Bytes that packs may still take: what is free less what is kept for pruning. Nothing: there is no limit, or it is not
// known.
struct Room {
  std::uint64_t free = 0;      // of the file system
  std::uint64_t reserved = 0;  // kept for pruning
  [[nodiscard]] std::uint64_t usable() const { return free > reserved ? free - reserved : 0; }
};
Result<std::optional<Room>> room_for_packs(StoreWriter& writer);

// Bytes that this disk's new chunks will take, a careful estimate from below: 64 chunks, evenly spread over its data,
// are read; those that the store has, that are zero or that compress well count as nothing; a quarter is taken off for
// what a sample cannot know. 0: too little data to say. Errors: image_unreadable, image_shrank, cancelled, those of the
// index.
Result<std::uint64_t> least_room_needed(StoreWriter& writer, ImageReader& image, const std::stop_token& stop);

}  // namespace cairn
