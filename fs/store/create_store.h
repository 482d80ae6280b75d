// SPDX-License-Identifier: GPL-3.0-or-later
// Making a new store.
#pragma once

#include <filesystem>
#include <span>

#include "config/base/result.h"
#include "crypto/key_slots.h"
#include "fs/store/store_parameters.h"

namespace cairn {

// Makes the store in the empty or new directory `path`, with a slot for each key. Nothing half-made stays on failure.
// Errors: store_exists, target_missing (the parent), permission_denied, used_wrongly (chunk size, no key).
Result<void> create_store(const std::filesystem::path& path, const StoreParameters& parameters,
                          std::span<const NewKeySlot> slots);

}  // namespace cairn
