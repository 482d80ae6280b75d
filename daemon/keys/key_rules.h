// SPDX-License-Identifier: GPL-3.0-or-later
// Key rules: what must hold before a recovery point of a machine with encrypted disks is taken, and the keys that go
// into it. One set of rules for `cairn config check`, the daemon's start and every backup. One thread at a time.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "config/settings.h"
#include "crypto/volume/unlock.h"
#include "crypto/volume/volume.h"
#include "daemon/keys/vault_set.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

// "web-01/root", and with a volume "web-01/root, partition 2": how disks are called in what follows.
std::string disk_object(const std::string& machine, const std::string& disk);
std::string volume_object(const std::string& disk_object, const VolumeFacts& volume);

// The rules that need no vault. `previous`: the disk in the machine's newest recovery point; null: there is none.
// Volumes on which a key lies that needs no secret (unlock.h, has_clear_key) need none.
// Errors: keys_missing, became_encrypted, bek_without_kek.
Result<void> check_named_keys(const DiskSettings& disk, const DiskFacts& facts, const DiskRecord* previous,
                              const std::string& object);
// Keys that are named for a disk that has no use for them: keys_not_needed. Nothing: that is not so.
std::optional<Error> keys_not_needed(const DiskSettings& disk, const DiskFacts& facts, const DiskRecord* previous,
                                     const std::string& object);

// A BEK to try: its record, and itself.
struct BekToTry {
  const BekRecord* record;
  const SecretBytes* bek;
};

// A disk's keys, as its vaults gave them: what goes into the point, and the BEKs themselves in locked memory.
struct GatheredKeys {
  std::vector<BekRecord> beks;
  std::vector<SecretBytes> opened;  // in the order of `beks`
  std::vector<KekRecord> keks;
  // Borrows from these keys.
  [[nodiscard]] std::vector<BekToTry> to_try() const;
};

// Fetches and unwraps the BEKs that are named (none for a disk that opens without a secret), and backs up their KEKs
// for `owners`. Errors: secret_missing, secret_damaged, kek_missing, bek_other_kek, unwrap_failed, vault_denied and all
// that opening or asking a vault can meet.
Result<GatheredKeys> gather_keys(const DiskSettings& disk, VaultSet& vaults, std::span<const EscrowOwner> owners,
                                 const std::string& object);
// Where what `error` misses (KEK, secret, vault) is in the machine's newest point, `error` says how it comes back from
// there. `previous`: the disk in that point; null: there is none.
Error naming_key_restore(Error error, const DiskRecord* previous, const std::string& machine);
// What the principal lacks for gather_keys, one vault_denied for each vault, with all rights and the command that
// grants them. Errors: as those of opening.
Result<std::vector<Error>> lacking_rights(const DiskSettings& disk, VaultSet& vaults);

// One volume, tried with each of the disk's BEKs.
struct TriedVolume {
  VolumeProof proof;
  std::optional<Error> error;      // why it is not proved
  std::optional<Error> bek_error;  // proved without a secret: why the disk's BEKs did not; nothing: it has none
};
// `fingerprint` makes VolumeProof::fingerprint of a volume key. `read` reads the volume's header. Where no BEK opens
// the volume and a clear key lies on it, that proves it: VolumeProof::secret is empty then.
TriedVolume try_volume(const VolumeFacts& volume, const ReadHeader& read, std::span<const BekToTry> beks,
                       const std::function<std::string(const SecretBytes&)>& fingerprint, const std::string& disk,
                       const std::string& object);

// What must be said of a volume that opened without any secret: protection_suspended. Nothing: it took a BEK.
std::optional<Error> opened_without_secret(const TriedVolume& tried, const std::string& object);

// What changed about a volume since the previous point, one sentence each with the error's name at its end:
// volume_key_changed, key_slots_changed. `before` and `now`: the disk in the two points.
std::vector<std::string> volume_changes(const DiskRecord& before, const Proof& proof_before, const DiskRecord& now,
                                        const Proof& proof_now, const std::string& object);

// "message [name]": an error reported as a warning.
std::string as_warning(const Error& error);

}  // namespace cairn
