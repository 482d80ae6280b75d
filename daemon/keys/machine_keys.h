// SPDX-License-Identifier: GPL-3.0-or-later
// Whether a machine's next recovery point would be proved: all key rules tried on the live disks and the vaults,
// without storing anything. For `cairn config check` and the daemon's start. One thread at a time.
#pragma once

#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "config/settings.h"
#include "daemon/keys/vault_set.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class Store;

struct KeyFinding {
  enum class Kind { good, warning, error };
  std::string disk;
  Kind kind = Kind::good;
  std::string detail;          // good: what opened with what
  std::optional<Error> error;  // warning, error
};
std::string_view to_string(KeyFinding::Kind kind);  // "good", "warning", "error"

// One finding or more for each disk that is encrypted or has keys; none for other disks, and for images that cannot be
// read (backups say that). Errors under on_missing_keys: warn are warnings. Vaults with an audit log note the
// questions. Key derivation has one budget for all disks, as a backup has (last_proof.h); `stop` ends it at once.
std::vector<KeyFinding> check_machine_keys(const MachineSettings& machine, const Policy& policy, VaultSet& vaults,
                                           Store& store, const std::stop_token& stop = {});

}  // namespace cairn
