// SPDX-License-Identifier: GPL-3.0-or-later
// SignalBlock: while it lives, this thread and the threads it starts leave all signals to the program's other threads.
#pragma once

#include <pthread.h>

#include <csignal>

namespace cairn {

class SignalBlock {
 public:
  SignalBlock() {
    sigset_t all;
    sigfillset(&all);
    // These come from what the thread itself does, and somebody may be ready for them (fs/store/index/map_guard.h);
    // when they are blocked they end the process.
    for (const int own : {SIGBUS, SIGSEGV, SIGFPE, SIGILL}) sigdelset(&all, own);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalBlock() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalBlock(const SignalBlock&) = delete;
  SignalBlock& operator=(const SignalBlock&) = delete;

 private:
  sigset_t before_;
};

}  // namespace cairn
