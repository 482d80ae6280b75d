// SPDX-License-Identifier: GPL-3.0-or-later
// Which errors tell of damage. Internal to fs, and for who salvages. Any thread.
#pragma once

#include "config/base/error.h"

namespace cairn {

// The error's cause lies in the bytes, or they are gone: another try finds the same. All other errors may pass.
bool is_damage_error(const Error& error);

}  // namespace cairn
