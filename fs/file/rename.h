// SPDX-License-Identifier: GPL-3.0-or-later
// rename_no_replace: the last step of whatever appears whole or not at all. Any thread.
#pragma once

namespace cairn {

// rename(2) that never replaces; some file systems lack RENAME_NOREPLACE, link(2) does the same there. An errno value,
// 0: done.
int rename_no_replace(const char* from, const char* to);

}  // namespace cairn
