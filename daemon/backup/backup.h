// SPDX-License-Identifier: GPL-3.0-or-later
// Backup: takes one recovery point of one machine. All disks are opened (cloned where the file system can) before the
// first is read, so they are as close together in time as they can be; the point is committed last. Any thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/settings.h"
#include "daemon/backup/guest_session.h"
#include "daemon/backup/tracking.h"
#include "daemon/keys/point_keys.h"
#include "fs/store/point/trusted_clock.h"

namespace cairn {

class ImageReader;
class JobContext;
class Store;

using OpenImage = std::function<Result<std::unique_ptr<ImageReader>>(const DiskSource&)>;

struct BackupInputs {
  Store& store;
  const Clock& clock;
  OpenImage open_image = {};  // empty: open_image() of fs/image; tests give their own
  TrackingInputs tracking = {};
  KeyInputs keys = {};
  std::optional<std::chrono::seconds> immutable = {};  // of the policy: from the point's time on
  bool accept_change = false;                     // a disk that is smaller or empty is a new state, and not suspect
  std::function<ClockReading()> read_clock = {};  // empty: read_clock() of `clock`
  GuestInputs guest = {};
  std::chrono::seconds wait{0};  // for another process that writes to the store
};

// The job's result (daemon/API.md). Warnings go to `job`.
// Errors: image_missing, image_not_a_disk, image_unreadable, image_shrank, store_locked, cancelled, no_space, io_error;
// with encrypted disks and on_missing_keys: fail: those of key_rules.h (several are one error). The keys are fetched
// before any disk is read, and tried while the disks are: one that does not open ends the reading.
Result<nlohmann::json> run_backup(const MachineSettings& machine, const BackupInputs& inputs, JobContext& job);

}  // namespace cairn
