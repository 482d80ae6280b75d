// SPDX-License-Identifier: GPL-3.0-or-later
// open_beneath: the one way in which files are opened in directories that others may write to. The name leads through
// no symbolic link and not out of the folder; opening does not wait for whoever is at the other end of a pipe, and
// makes no terminal the controlling one. What was opened may still be a pipe or a device: whoever wants a file looks.
// Any thread.
#pragma once

#include <sys/types.h>

namespace cairn {

// As openat(2), with O_CLOEXEC, O_NOCTTY and O_NONBLOCK. `name`: relative to the open directory `folder` (O_PATH will
// do), of one or more steps, none of them "..". `mode`: for O_CREAT and O_TMPFILE.
// -1 and errno: ELOOP a step is a symbolic link; EXDEV the name leads out of the folder; ENXIO a socket, or a pipe that
// nobody reads; else as openat(2). By openat2(2) (Linux 5.6), else, also where a container's filter forbids that, as:
int open_beneath(int folder, const char* name, int flags, mode_t mode = 0600);
// The same, step by step with openat(2) and O_NOFOLLOW.
int open_stepwise(int folder, const char* name, int flags, mode_t mode = 0600);

}  // namespace cairn
