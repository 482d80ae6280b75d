// SPDX-License-Identifier: GPL-3.0-or-later
// What becomes of a file that has the name already.
#pragma once

namespace cairn {

enum class IfExists { fail, replace };

}  // namespace cairn
