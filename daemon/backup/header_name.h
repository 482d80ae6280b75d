// SPDX-License-Identifier: GPL-3.0-or-later
// How the stored header of a volume is called as a file of the recovery point. Pure. Any thread.
#pragma once

#include <set>
#include <string>

#include "crypto/volume/volume_facts.h"

namespace cairn {

// "root.luks2", "root-part2.bitlocker". All headers of a point share one folder of the mount, so a name that is taken
// (disks "a" and "a-part1") gets a number.
std::string header_name(const std::string& disk, const VolumeFacts& volume, std::set<std::string>& taken);

}  // namespace cairn
