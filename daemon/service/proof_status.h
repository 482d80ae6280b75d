// SPDX-License-Identifier: GPL-3.0-or-later
// Whether a machine has a recent recovery point that was proved: a figure of `cairn status`. Pure but for the rows.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "config/base/clock.h"
#include "config/schedule.h"

namespace cairn {

// How old a machine's newest proved point may be: two intervals of its schedule, and a day at least.
std::chrono::seconds proof_may_be_old(const Schedule& schedule, UtcTime now);

// `next_row` gives the machine's point rows (daemon/API.md), newest first, until there are none; at most 100 are asked
// for. `schedule`: null when the machine is not in the settings: then its points are not expected to be recent.
// {"needed":BOOL|null: whether the newest point has encrypted disks, null: not known, as before the first point,
//  "newest":STATE|null,"last_proved":POINT|null,"last_proved_time":TIME|null: of points that are not suspect, and
//  rather one that is not torn,"wanting":BOOL: it may be needed, and the newest proved point is missing or too old}
nlohmann::json proof_status(const std::function<std::optional<nlohmann::json>()>& next_row, const Schedule* schedule,
                            UtcTime now);

}  // namespace cairn
