// SPDX-License-Identifier: GPL-3.0-or-later
// Slots in use: which key slots of a store a key opens, for whoever is about to remove one. Any thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "crypto/key_slots.h"

namespace cairn {

// The ids of all slots that `key` opens, one or more. Takes a key derivation for each slot of a passphrase.
// Errors: those of Store::open: store_missing, not_a_store, store_too_new, store_damaged, wrong_key, io_error.
Result<std::vector<std::string>> slots_opened_by(const std::filesystem::path& store, const UnlockKey& key);

}  // namespace cairn
