// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/keys/proof_run.h"

#include <utility>

#include "config/base/exception_door.h"
#include "daemon/keys/point_keys.h"

namespace cairn {

ProofRun::ProofRun(PointKeys& keys, std::vector<DiskRecord> disks, std::stop_token stop)
    : keys_(keys),
      forward_(std::move(stop),
               [this] {
                 reading_.request_stop();
                 proving_.request_stop();
               }),
      // The door where this thread's exceptions end.
      thread_([this, disks = std::move(disks)] {
        auto outcome = without_exceptions("prove", "the keys", [&] { return prove(disks); });
        if (outcome) return;
        failure_ = std::move(outcome).error();
        reading_.request_stop();
      }) {}

ProofRun::~ProofRun() {
  proving_.request_stop();
}

Result<void> ProofRun::prove(const std::vector<DiskRecord>& disks) {
  const std::stop_token stop = proving_.get_token();
  for (const DiskRecord& disk : disks) keys_.prove(disk, stop);
  if (stop.stop_requested()) return {};  // the job ends before it commits
  return keys_.verdict();
}

Result<void> ProofRun::finish() {
  thread_.join();
  if (failure_) return pass_on(*std::move(failure_));
  return {};
}

}  // namespace cairn
