// SPDX-License-Identifier: GPL-3.0-or-later
// What status says about change tracking. Document: daemon/API.md "Status". Any thread.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "config/settings.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

struct TrackingPlace;

// The machine's disks, in the settings' order; `machine` is with those that libvirt knows (known_disks.h). `newest` is
// the machine's newest recovery point.
nlohmann::json tracking_status(const Settings& settings, const MachineSettings& machine, const TrackingPlace& place,
                               const std::optional<PointName>& newest);
// The same, of a machine whose disks do not answer.
nlohmann::json unknown_tracking(const MachineSettings& machine);

}  // namespace cairn
