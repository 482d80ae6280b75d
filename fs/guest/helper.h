// SPDX-License-Identifier: GPL-3.0-or-later
// The guest helper: a process of its own for all that is spoken with a hypervisor and a guest. It holds the guest for
// the moment in which its disks are cloned, and lets it go: when it is told to, when the longest time is over, and when
// the other end of its socket closes, that is, however we end. It ignores the signals that end services, and goes on
// until the guest reads back as thawed. What is said to it: helper_protocol.h. The design: LIVE.md "The helper".
#pragma once

#include <string_view>

namespace cairn {

// Whether this process was begun as the helper: for the first line of each program's main().
bool is_guest_helper(int argc, char** argv);
// Is it, until nobody speaks with it any more and nothing is held. The process's exit status.
int run_guest_helper();

}  // namespace cairn
