// SPDX-License-Identifier: GPL-3.0-or-later
// Store key: the key that the settings name for the store, for whoever is about to open it. Any thread.
#pragma once

#include "config/base/result.h"
#include "config/settings.h"
#include "crypto/key_slots.h"

namespace cairn {

// Errors: those of read_unlock_key (unlock_key.h, `stop_fd` too); store_missing: neither the key file is there nor the
// store that it would open, so there is nothing to put back: the store was never made, or its file system is not
// mounted.
Result<UnlockKey> read_store_key(const Settings& settings, int stop_fd = -1);

}  // namespace cairn
