// SPDX-License-Identifier: GPL-3.0-or-later
// How a volume was opened at its last proof, and what that says of unlocking it now: the slot that opened is tried
// first, and a slot that asks for much more key derivation than it did is said so, or refused. The header is written by
// whoever rules the guest. Any thread.
#pragma once

#include <optional>
#include <string>

#include "config/base/error.h"
#include "config/settings.h"
#include "crypto/volume/unlock.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class Store;

// What key derivation may take in one job, or one look at the keys of a machine, all volumes together, seconds of an
// ordinary core.
inline constexpr double kUnlockSecondsOfJob = 600;

// Of a key slot that took `before` seconds at the last proof: what is more than that is a jump (unlock_costlier).
constexpr double most_expected(double before) {
  return before * 4 > before + 5 ? before * 4 : before + 5;
}

struct LastProof {
  int slot = -1;       // LUKS key slot; -1: not known
  double seconds = 0;  // what its key derivation took; 0: not known
};
// `previous`: the machine's newest point; null: there is none. `object` names the disk: "web-01/root".
LastProof last_proof(Store& store, const RecoveryPoint* previous, const std::string& disk, const VolumeFacts& volume,
                     const std::string& object);

// How to unlock the volume now.
UnlockLimits limits_after(const LastProof& last, OnCostlierKeys on_costlier_keys);

// That slot `slot`, which opened now, costs much more than the slot of the last proof did: unlock_costlier. Nothing: it
// does not, or that is not known. `object` names the volume.
std::optional<Error> costlier_than(const LastProof& last, const VolumeFacts& volume, const ReadHeader& read, int slot,
                                   const std::string& object);

}  // namespace cairn
