// SPDX-License-Identifier: GPL-3.0-or-later
// link_open_file: a name for a file that has none yet (O_TMPFILE), also in a system without /proc. open(2), linkat(2).
// Any thread.
#pragma once

#include "config/base/error.h"

namespace cairn {

// `folder`: a directory's descriptor, or AT_FDCWD. An errno value, 0: done; EEXIST: the name is taken; ENOSYS: there is
// no /proc, and without one the kernel allows it to root alone (CAP_DAC_READ_SEARCH).
int link_open_file(int file, int folder, const char* name);

// Whether /proc is there: a rescue system or a chroot may have none. What must have it fails with no_proc.
bool has_proc();
Error needs_proc(const char* doing, const char* object);

}  // namespace cairn
