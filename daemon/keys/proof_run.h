// SPDX-License-Identifier: GPL-3.0-or-later
// ProofRun: the keys of a backup tried on its headers, in a thread of its own while the disks are read: a passphrase
// costs seconds of Argon2 (RFC 9106), a backup of what changed often less than one. Begun and finished by one thread.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "config/base/result.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class PointKeys;

class ProofRun {
 public:
  // Begins. `disks`: their names, facts and headers must be known, and the headers durable and found in the store.
  // Nobody else may use `keys` until finish(); it must outlive this. `stop`: the job's.
  ProofRun(PointKeys& keys, std::vector<DiskRecord> disks, std::stop_token stop);
  ProofRun(const ProofRun&) = delete;
  ProofRun& operator=(const ProofRun&) = delete;
  // Stops the proof, within a key derivation too: whoever has not finished it does not want it any more.
  ~ProofRun();

  // What the reading of the disks must stop for: the job's stop, and a proof that fails the backup.
  [[nodiscard]] std::stop_token stop_reading() const { return reading_.get_token(); }
  // Waits until all disks were tried, or the job was stopped. Once. Errors: PointKeys::verdict().
  Result<void> finish();

 private:
  Result<void> prove(const std::vector<DiskRecord>& disks);

  PointKeys& keys_;
  std::stop_source proving_;
  std::stop_source reading_;
  std::stop_callback<std::function<void()>> forward_;
  std::optional<Error> failure_;  // written by the thread, read when it has ended
  std::jthread thread_;           // last: it uses all of these
};

}  // namespace cairn
