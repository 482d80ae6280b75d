// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/work/disk_choice.h"

#include <vector>

#include "daemon/keys/key_rules.h"

namespace cairn::cli {

Result<ChosenDisk> choose_disk(const Settings& settings, const std::string& given) {
  const std::size_t slash = given.find('/');
  if (slash == std::string::npos)
    return fail(ErrorCode::used_wrongly, "find the disk", given, "it is no MACHINE/DISK",
                "name machine and disk, such as web-01/root");
  CAIRN_TRY(const MachineSettings* const machine, settings.machine(given.substr(0, slash)));
  const std::string name = given.substr(slash + 1);
  std::vector<std::string> names;
  for (const DiskSettings& disk : machine->disks) {
    if (disk.name == name) return ChosenDisk{machine, &disk, disk_object(machine->name, disk.name)};
    names.push_back(disk.name);
  }
  const auto nearest = nearest_name(name, names);
  return fail(
      ErrorCode::no_such_disk, "find the disk", given,
      "the settings name no such disk of " + machine->name + (nearest ? "; did you mean \"" + *nearest + "\"?" : ""));
}

}  // namespace cairn::cli
