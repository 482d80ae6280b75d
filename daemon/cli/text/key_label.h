// SPDX-License-Identifier: GPL-3.0-or-later
// Labels of keys: what a key slot may be called. Pure. Any thread.
#pragma once

#include <string>

#include "config/base/result.h"

namespace cairn::cli {

inline constexpr std::size_t kLongestKeyLabel = 64;  // bytes

// 1 to 64 bytes of UTF-8 without control characters. `doing` is for the error. Errors: used_wrongly.
Result<void> check_key_label(const std::string& doing, const std::string& label);

}  // namespace cairn::cli
