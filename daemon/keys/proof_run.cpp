// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/keys/proof_run.h"

#include <utility>

#include "config/base/exception_door.h"
#include "daemon/keys/point_keys.h"

namespace cairn {

ProofRun::ProofRun(PointKeys& keys, std::vector<DiskRecord> disks, std::stop_token stop)
    : keys_(keys),
      stop_(std::move(stop)),
      forward_(stop_, [this] { reading_.request_stop(); }),
      // The door where this thread's exceptions end.
      thread_([this, disks = std::move(disks)] {
        auto outcome = without_exceptions("prove", "the keys", [&] { return prove(disks); });
        if (outcome) return;
        failure_ = std::move(outcome).error();
        reading_.request_stop();
      }) {}

Result<void> ProofRun::prove(const std::vector<DiskRecord>& disks) {
  for (const DiskRecord& disk : disks) {
    if (stop_.stop_requested()) return {};  // the job ends before it commits
    keys_.prove(disk);
  }
  return keys_.verdict();
}

Result<void> ProofRun::finish() {
  thread_.join();
  if (failure_) return pass_on(*std::move(failure_));
  return {};
}

}  // namespace cairn
