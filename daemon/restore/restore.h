// SPDX-License-Identifier: GPL-3.0-or-later
// Restore: writes disks of a recovery point as sparse files "<disk>.img", mode 0600, into an existing directory. A file
// appears under its name only when it is whole and durable; when salvaging, whole but for what is damaged. It reads and
// writes past the page cache where the file systems let it, with 4 to 8 threads; memory: about 2 MiB a thread, or two
// chunks and a little where chunks are larger than 1 MiB (at most 70 MiB with chunks of 4 MiB). Any thread.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "daemon/keys/vault_set.h"
#include "daemon/restore/restore_flags.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class JobContext;
class Store;

struct RestoreTask {
  PointName point;
  std::filesystem::path to;         // absolute
  std::optional<std::string> disk;  // only this one
  RestoreFlags flags;
  OpenVault open_vault = {};  // where to look for the keys of the disks; empty: nowhere
};

// The disks of `point`, or only the one called `disk`; borrowed from it. Errors: no_such_disk (with the nearest).
Result<std::vector<const DiskRecord*>> wanted_disks(const RecoveryPoint& point, const std::optional<std::string>& disk);

// What can be known before anything is written.
// Errors: those of Store::load_point, no_such_disk, used_wrongly (path not absolute), target_missing, target_exists.
Result<void> check_restore(Store& store, const RestoreTask& task);

// The job's result (daemon/API.md). Errors: those of check_restore, no_space, chunk_damaged and its like, cancelled,
// io_error. On failure nothing is left of the disk that was being written; disks already whole stay.
// The result says what opens the disks and whether that is to be had now (restored_keys.h); what is not is a warning.
// Salvaging: what is damaged (is_damage_error) is a hole in the file, listed in the result and a warning of the job. A
// disk of which nothing at all can be read is not made; the others are, then the job fails with that disk's damage and
// keeps its result (JobContext::keep_result). What cannot be read for the moment (EIO) ends the job as usual.
Result<nlohmann::json> run_restore(Store& store, const RestoreTask& task, JobContext& job);

}  // namespace cairn
