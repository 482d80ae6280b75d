// SPDX-License-Identifier: GPL-3.0-or-later
// Which disk of the settings "MACHINE/DISK" means.
#pragma once

#include <string>

#include "config/base/result.h"
#include "config/settings.h"

namespace cairn::cli {

struct ChosenDisk {
  const MachineSettings* machine;
  const DiskSettings* settings;  // both live as long as the settings
  std::string object;            // "web-01/root"
};
// Errors: used_wrongly (no slash), no_such_machine, no_such_disk, with the nearest name.
Result<ChosenDisk> choose_disk(const Settings& settings, const std::string& given);

}  // namespace cairn::cli
