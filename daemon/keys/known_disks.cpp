// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/keys/known_disks.h"

#include <algorithm>

#include "fs/store/store.h"

namespace cairn {

MachineSettings with_disks_of_point(MachineSettings machine, const RecoveryPoint& newest) {
  if (machine.guest.kind != GuestSettings::Kind::libvirt) return machine;
  for (const DiskRecord& record : newest.disks) {
    if (!record.image.starts_with('/') || machine.leaves_out(record.name) || machine.leaves_out(record.image)) continue;
    const auto known = std::ranges::find(machine.disks, record.name, &DiskSettings::name);
    if (known == machine.disks.end())
      machine.disks.push_back(DiskSettings{.name = record.name, .image = std::filesystem::path(record.image)});
    else if (known->image.path.empty())
      known->image = std::filesystem::path(record.image);
  }
  return machine;
}

MachineSettings with_known_disks(const MachineSettings& machine, Store& store) {
  if (machine.guest.kind != GuestSettings::Kind::libvirt) return machine;
  const auto newest = store.points().latest(machine.name);
  if (!newest || !*newest) return machine;
  const auto point = store.points().load(**newest);
  return point ? with_disks_of_point(machine, *point) : machine;
}

}  // namespace cairn
