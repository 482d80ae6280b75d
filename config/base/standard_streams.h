// SPDX-License-Identifier: GPL-3.0-or-later
// Standard descriptors that are closed when the process begins ("cairn backup web-01 >&-"): the next file that is
// opened would get such a number, and what is printed would be written into it. For `main` only, first of all.
#pragma once

namespace cairn {

// Opens those that are closed to /dev/null, each for the other direction than it is used in, so that who writes to one
// still gets an error. Ends the process when that cannot be.
void settle_standard_streams();

// As many open files as the process may have: a store with many packs, or a mount with many readers, needs more than
// the usual 1024.
void raise_open_files();

// A file that would become too large is an error like others, not the end of the process (SIGXFSZ).
void let_large_files_fail();

}  // namespace cairn
