// SPDX-License-Identifier: GPL-3.0-or-later
// Unlocking a recovery point with what is in it: its KEKs and BEKs are opened from escrow by an owner of the store, and
// tried on its headers. No vault, no settings. What `cairn key drill`, `verify --proof`, `key export` and `key restore`
// stand on. One thread at a time.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "crypto/escrow.h"
#include "daemon/keys/key_rules.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class Store;

// The BEK of a record of `point`, with what `owner` opens: by its KEK's backup when that is portable, else from escrow.
// Errors: no_escrowed_keys (neither is in the point: it needs its vault), escrow_damaged, unwrap_failed, bek_invalid.
Result<SecretBytes> open_bek(const RecoveryPoint& point, const BekRecord& record, const EscrowKeys& owner);

// One encrypted volume of the point.
struct VolumeVerdict {
  std::string disk;
  unsigned partition = 0;
  std::string within;  // as VolumeFacts::within
  std::string type;    // "LUKS2"
  std::string uuid;
  VolumeProof proof;
  std::optional<Error> error;  // why it could not be unlocked
};
struct PointVerdict {
  PointName name;
  ProofState recorded = ProofState::unproved;  // Proof::state in the point
  std::vector<VolumeVerdict> volumes;
  [[nodiscard]] ProofState state() const;
};
// Tries every encrypted volume of the point, the slot of its proof first, with one budget of key derivation
// (last_proof.h). What goes wrong is in the verdict.
PointVerdict unlock_point(Store& store, const RecoveryPoint& point, const EscrowKeys& owner);

// {"point","state","recorded","volumes":[{"disk","partition","within","type","uuid","unlocked","secret","secret_version","kek",
// "kek_version","slot","error":Error|null}]}
nlohmann::json to_json(const PointVerdict& verdict);

}  // namespace cairn
