// SPDX-License-Identifier: GPL-3.0-or-later
// The JSON of a LUKS2 header before a library parses it: whoever rules a guest writes it, up to 4 MiB twice, and small
// values cost a parser a hundred times their bytes. Pure. Any thread.
#pragma once

#include <string>

#include "config/base/bytes.h"

namespace cairn {

// Why a header's JSON is not to be parsed, in words; empty: it may be. `copy`: one copy of the header, binary part too.
std::string luks2_json_excess(ByteView copy);

}  // namespace cairn
