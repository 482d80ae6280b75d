// SPDX-License-Identifier: GPL-3.0-or-later
// The machine's definition as a part of its recovery point. Any thread.
#pragma once

#include <string>

#include "config/settings.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class JobContext;

// The file that the settings name, or `of_guest` (empty: none) where they name none, goes into the point; and what it
// says of disks that are not backed up becomes warnings.
void take_definition(const MachineSettings& machine, const std::string& of_guest, RecoveryPoint& point,
                     JobContext& job);

}  // namespace cairn
