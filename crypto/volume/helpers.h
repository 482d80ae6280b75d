// SPDX-License-Identifier: GPL-3.0-or-later
// The works that this program does as a helper of itself (crypto/helper_process.h). For `main` only: whoever calls
// serve_as_helper() first of all can run helpers; in a helper it does the work and ends the process. Works: "unlock"
// (key derivation on a copy of a header: unlock_copy.h), "read-file" (a file out of a guest's file system:
// guest_file_talk.h). What a helper reads was written by a stranger; what it answers is bounded and checked by who
// started it.
#pragma once

namespace cairn {

void serve_as_helper(int argc, char** argv);

}  // namespace cairn
