// SPDX-License-Identifier: GPL-3.0-or-later
// Times of files, as the kernel keeps them (statx(2)). Any thread.
#pragma once

#include <sys/stat.h>

#include <cstdint>

namespace cairn {

// Since 1970.
std::int64_t nanoseconds(const struct statx_timestamp& time);

// Waits, 50 ms at most, until the clock that file times are taken from (current_time(): the coarse one) has left this
// time behind. Else a write right after this would carry the same time, and go unnoticed.
void leave_behind(std::int64_t time_ns);

}  // namespace cairn
