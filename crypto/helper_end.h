// SPDX-License-Identifier: GPL-3.0-or-later
// The helper's end of crypto/helper_process.h: how a process becomes a confined helper, and talks to who started it. It
// ends with the one that started it, leaves no core file, cannot be looked into by others, holds no descriptor but
// those that it was given, no capability but that of locking memory, and bounded time of the processor. Helpers that
// read a file system are closed further: by a filter of system calls (seccomp(2)) they can do nothing but compute, ask
// for memory and talk. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "config/base/bytes.h"

namespace cairn {

inline constexpr const char* kHelperName = "cairn-helper";  // argv[0] of a helper; argv[1] is its work
inline constexpr int kHelperSocket = 0;
inline constexpr int kHelperExtraFd = 3;

// Whether `argv` is that of a helper, and for which work; empty: it is none.
std::string helper_work(int argc, char** argv);
// From here on helpers_can_run(): this program's main would serve.
void note_helpers_can_run();

// First thing of all in a helper. Ends the process when it cannot be confined.
void become_helper();
// Ends the helper by SIGXCPU when it takes more.
void limit_processor(unsigned seconds);
// No more address space than that, and from now on nothing but computing and talking. Ends the process when that cannot
// be had.
void close_helper(std::uint64_t memory_bytes);

// All of it; the process ends when the other side is gone.
void helper_receive(MutableBytes to);
void helper_send(ByteView bytes);
[[noreturn]] void end_helper(int status);

}  // namespace cairn
