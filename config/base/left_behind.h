// SPDX-License-Identifier: GPL-3.0-or-later
// What does not come back in time is left behind: a thread in a read of a dead network file system, or in minutes of
// key derivation, cannot be ended from outside. Its work is told to stop, is waited for a little, and is then no longer
// waited for. What it uses must then outlive it: while anything is left behind the process may not take its parts
// apart, and ends by end_process(). Any thread.
#pragma once

#include <chrono>

namespace cairn {

// How long work that was told to stop is waited for.
inline constexpr std::chrono::seconds kLeaveAfter{5};

void note_left_behind();
// Of what was left behind: it has come back after all.
void note_came_back();
bool anything_left_behind();

// Ends the process at once: standard streams are flushed, nothing is taken apart. The kernel gives locks, mounts of
// this process's connections and memory back, however it hangs.
[[noreturn]] void end_process(int exit_code);

}  // namespace cairn
