// SPDX-License-Identifier: GPL-3.0-or-later
// The disks of a machine whose disks libvirt knows, where libvirt is not to be asked: those of its newest recovery
// point. For what is said of a machine between its backups: status, the look at its keys, completion. Any thread.
#pragma once

#include "config/settings.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class Store;

// `machine` with the disks that its newest point has beside those of the settings, and the images from which they were
// read where the settings name none; what is left out since then stays out. Other machines as they are, and so is one
// without a point that can be read: then a disk may be without an image.
MachineSettings with_known_disks(const MachineSettings& machine, Store& store);
// The same, of that point. Pure.
MachineSettings with_disks_of_point(MachineSettings machine, const RecoveryPoint& newest);

}  // namespace cairn
