// SPDX-License-Identifier: GPL-3.0-or-later
// Restored keys: what opens the disks of a restored recovery point, whether that is to be had now, and the commands
// that bring it back when it is not. Said with every restore: a disk that nobody can open is no restored disk. One
// thread at a time.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>

#include "daemon/keys/vault_set.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class JobContext;
class Store;

// ready: what is in the vault now was tried on the header in the point, and opens it. no_secret: the volume opens by
// itself (a clear key). missing: the vault, the key or the secret is gone, or the secret there opens another state of
// the disk. unknown: that could not be found out (a vault that does not open, a right that lacks, no settings).
// none: the point was taken without keys.
enum class KeyAtHand { ready, no_secret, missing, unknown, none };
std::string_view to_string(KeyAtHand state);  // "ready", "no-secret", "missing", "unknown", "none"

// For each encrypted volume of `disks` (of `point`):
// {"disk","partition","type","secret","secret_version","bek_type","kek","kek_version","state","reason","commands":[TEXT]}.
// Each volume costs a key derivation. What is missing, unknown or none is a warning of the job.
nlohmann::json keys_at_hand(Store& store, const RecoveryPoint& point, std::span<const DiskRecord* const> disks,
                            const OpenVault& open_vault, JobContext& job);

}  // namespace cairn
