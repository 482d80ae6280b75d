// SPDX-License-Identifier: GPL-3.0-or-later
// Unlocking: tries a BEK on a volume's header, without device-mapper and without writing anything: libcryptsetup sees a
// private copy in a memfd. LUKS: key slot and volume-key digest; BitLocker: VMK and FVEK (AES-CCM tags). Argon2id takes
// the time and memory that the slot says (up to 1 GiB by cryptsetup's defaults; LUKS2 allows 4 GiB). Since whoever
// rules the disk writes the header, both are bounded. No library's key derivation can be stopped from inside, so it
// runs in a helper process (crypto/helper_process.h), which a stop ends at once. Any thread; one volume of the process
// at a time, so that what each takes of the memory is there.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "config/base/result.h"
#include "crypto/bek.h"
#include "crypto/secret_bytes.h"
#include "crypto/volume/volume_facts.h"

namespace cairn {

struct UnlockedVolume {
  int slot = -1;           // LUKS: the key slot that opened; BitLocker: -1
  SecretBytes volume_key;  // in locked memory
};

// Reads `to.size()` bytes from `offset` of the volume (not of the disk); asked only for facts.header's ranges.
using ReadHeader = std::function<Result<void>(std::uint64_t offset, MutableBytes to)>;

// What key derivation for one volume may take. cryptsetup makes slots of two seconds and at most 1 GiB, 32 of them.
struct UnlockLimits {
  unsigned seconds = 300;          // of an ordinary core
  std::uint64_t memory_bytes = 0;  // for one slot; 0: three quarters of what the host has available then
  int first_slot = -1;             // LUKS: tried before the others: the one that opened last time
  double slot_seconds = 0;         // slots that ask for more are refused as unlock_costlier; 0: no such rule
  double* left = nullptr;     // of several volumes together, seconds: counted down, and kept to; null: no such bound
  std::stop_token stop = {};  // also within a slot's key derivation, where helpers_can_run()
};

// `bek` as normal_bek() gives it; `object` names the volume in errors: "web-01/root, partition 2".
// LUKS slots that would take longer than what is left of `limits`, or more memory, are not tried.
// `limits.first_slot` is tried first.
// Errors: bek_does_not_open (also a BEK of another kind of volume), header_damaged (it cannot be loaded, or all its
// slots ask for too much time), unlock_costlier, out_of_memory, cancelled, helper_failed, and those of `read`.
Result<UnlockedVolume> unlock_volume(const VolumeFacts& facts, const ReadHeader& read, BekType type,
                                     const SecretBytes& bek, const std::string& object,
                                     const UnlockLimits& limits = {});

// Whether the volume says that a key which needs no secret is stored on it: BitLocker's protection is suspended, or was
// never finished.
bool has_clear_key(const VolumeFacts& facts);
// Unlocks such a volume; no secret, no libcryptsetup (2.6 knows no clear keys). UnlockedVolume::slot is -1.
// Errors: bek_does_not_open (there is no clear key, or what it seals is altered), header_damaged, those of `read`.
Result<UnlockedVolume> unlock_without_secret(const VolumeFacts& facts, const ReadHeader& read,
                                             const std::string& object);
// What key derivation for that LUKS slot takes, seconds, as its header says; nothing is derived. 0: the volume has no
// such slot in use, or is no LUKS volume. Errors: header_damaged, and those of `read`.
Result<double> slot_seconds(const VolumeFacts& facts, const ReadHeader& read, int slot, const std::string& object);

}  // namespace cairn
