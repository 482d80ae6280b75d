// SPDX-License-Identifier: GPL-3.0-or-later
// Which machines there are: those of the settings, and those of which the store has recovery points. Pure. Any thread.
#pragma once

#include <span>
#include <string>

#include "config/base/result.h"
#include "config/settings.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

// `stored`: the store's points, deleted ones too. Errors: no_such_machine, with the nearest name.
Result<void> check_known_machine(const char* doing, const std::string& machine, const Settings& settings,
                                 std::span<const PointName> stored);

}  // namespace cairn
