// SPDX-License-Identifier: GPL-3.0-or-later
// Base64 (RFC 4648, section 4: with padding). For what is public or sealed: it knows nothing of locked memory.
// Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/base/bytes.h"

namespace cairn {

std::string to_base64(ByteView bytes);
// Nothing when `text` is not base64: another character, no padding, bits that do not matter set.
std::optional<Buffer> from_base64(std::string_view text);

}  // namespace cairn
