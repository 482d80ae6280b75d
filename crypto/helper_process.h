// SPDX-License-Identifier: GPL-3.0-or-later
// HelperProcess: this very program, run once more (/proc/self/exe) for one piece of work: work that cannot be stopped
// from inside, such as key derivation by a library, and work on bytes that a stranger wrote, such as reading a guest's
// file system. It can be ended at any time and takes nothing with it; what it is given and answers passes through a
// socket, never through arguments, environment or files. The other end: crypto/helper_end.h. One thread at a time.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "config/base/bytes.h"
#include "config/base/result.h"
#include "config/base/unique_fd.h"

namespace cairn {

struct HelperTask {
  std::string work;                     // its name: crypto/volume/helpers.h
  std::string doing;                    // for messages, as in Error: "unlock the LUKS2 volume"
  std::string object;                   // for messages
  int extra_fd = -1;                    // a descriptor that it gets, as kHelperExtraFd (helper_end.h); -1: none
  std::chrono::milliseconds at_most{};  // from its start to its last answer
  std::stop_token stop = {};            // ends the helper
};

// Whether this program can be its own helper: its main has called serve_as_helper() (crypto/volume/helpers.h). What has
// no such main (a fuzzer, a benchmark) does the work within itself, or not at all.
bool helpers_can_run();

class HelperProcess {
 public:
  // The thread that starts it must live as long as this: the kernel ends the helper with it.
  // Errors: helper_failed, cancelled, io_error.
  static Result<HelperProcess> start(HelperTask task);
  HelperProcess(HelperProcess&& other) noexcept;
  HelperProcess& operator=(HelperProcess&&) = delete;
  // Ends the helper, whatever it does, and waits for its end, which the kernel brings about at once.
  ~HelperProcess();

  // All of `bytes`; fills all of `to`. Errors: cancelled (told to stop), helper_failed (it ended, or took too long).
  Result<void> send(ByteView bytes);
  Result<void> receive(MutableBytes to);
  // Whether the last helper_failed was for more work of the processor than its limit.
  [[nodiscard]] bool used_up_its_time() const { return used_up_; }

 private:
  explicit HelperProcess(HelperTask task);
  Result<void> wait_for(short events);
  std::unexpected<Error> gone();
  int reap();

  HelperTask task_;
  std::chrono::steady_clock::time_point deadline_;
  std::shared_ptr<UniqueFd> told_to_stop_;  // an eventfd
  std::unique_ptr<std::stop_callback<std::function<void()>>> on_stop_;
  UniqueFd socket_;
  pid_t pid_ = -1;
  bool used_up_ = false;
};

}  // namespace cairn
