// SPDX-License-Identifier: GPL-3.0-or-later
#include "config/base/left_behind.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>

namespace cairn {
namespace {

std::atomic<int> things_left = 0;

}  // namespace

void note_left_behind() {
  ++things_left;
}

void note_came_back() {
  --things_left;
}

bool anything_left_behind() {
  return things_left != 0;
}

void end_process(int exit_code) {
  // Not all streams: a thread that is left behind may hold the lock of its own.
  (void)std::fflush(stdout);
  (void)std::fflush(stderr);
  ::_exit(exit_code);
}

}  // namespace cairn
