// SPDX-License-Identifier: GPL-3.0-or-later
// PointKeys: the keys of one machine's encrypted disks on their way into a recovery point: fetched from the vaults
// before anything is read, and tried on the headers as they are stored before the point is committed. One thread at a
// time.
#pragma once

#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/settings.h"
#include "daemon/keys/key_room.h"
#include "daemon/keys/key_rules.h"
#include "daemon/keys/last_proof.h"
#include "daemon/keys/vault_set.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class JobContext;
class Store;

struct KeyInputs {
  OnMissingKeys on_missing_keys = OnMissingKeys::fail;
  OpenVault open_vault = {};  // empty: no vaults are declared
  OnCostlierKeys on_costlier_keys = OnCostlierKeys::warn;
};

class PointKeys {
 public:
  // All must outlive this. `previous`: the machine's newest recovery point, if any; copied.
  PointKeys(const std::string& machine, const KeyInputs& inputs, Store& store, JobContext& job,
            std::optional<RecoveryPoint> previous);

  // Checks the rules for a disk and fetches its keys. What is wrong is kept for verdict().
  void gather(const DiskSettings& disk, const DiskFacts& facts);
  // Tries the keys on the disk's headers, which must be durable and found in the store, and tells the job what changed
  // about its volumes. What is wrong is kept for verdict(). `stop` ends it, within a key derivation too: then the disk
  // is not proved, and nothing is said of it.
  void prove(const DiskRecord& disk, const std::stop_token& stop);
  // Everything that is wrong so far, in one error; with on_missing_keys: warn, as warnings of the job.
  Result<void> verdict();
  // Puts proof and KEKs into the point, and into its disks their BEKs. Once, after prove() of every disk.
  void finish(RecoveryPoint& point, UtcTime now);

 private:
  struct Disk {
    GatheredKeys keys;
    std::optional<Error> error;  // why there are none
  };
  [[nodiscard]] const DiskRecord* before(const std::string& disk) const;
  [[nodiscard]] std::string object(const std::string& disk) const { return disk_object(machine_, disk); }

  const std::string& machine_;
  const KeyInputs& inputs_;
  Store& store_;
  JobContext& job_;
  const std::optional<RecoveryPoint> previous_;
  VaultSet vaults_;
  std::vector<EscrowOwner> owners_;
  KeyRoom room_;
  std::map<std::string, Disk> disks_;  // the encrypted ones, and those that may be and have keys
  std::vector<Error> wrong_;           // since the last verdict
  Proof proof_;
  double left_ = kUnlockSecondsOfJob;
};

}  // namespace cairn
