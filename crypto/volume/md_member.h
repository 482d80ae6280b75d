// SPDX-License-Identifier: GPL-3.0-or-later
// md members: a disk or partition that belongs to a Linux software RAID, by its superblock of version 1.x: where its
// data lie, when this one member has all of them. Bounded: reads 4 KiB at three places. Bytes: VOLUMES.md, "md".
#pragma once

#include <optional>
#include <string>

#include "config/base/result.h"
#include "crypto/volume/volume_source.h"

namespace cairn {

struct MdMember {
  std::string name;     // "md:host:0"; what cannot stand in a name is replaced
  std::string what;     // "RAID1 of 2", for people
  ByteRange data;       // in the member; size 0: this member alone does not hold the volume
  std::string why_not;  // then: why
};

// Nothing: it is none, or of version 0.90, whose data begin at the member's start. Errors: those of the disk.
Result<std::optional<MdMember>> find_md_member(const VolumeSource& source);

}  // namespace cairn
