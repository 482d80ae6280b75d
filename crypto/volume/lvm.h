// SPDX-License-Identifier: GPL-3.0-or-later
// LVM2: physical volumes by their labels, and where the logical volumes of their groups lie on the disk. Only what lies
// on this one disk is found; a volume that needs another disk is named, and why it was not looked into. Bounded: a few
// sectors and at most 4 MiB of metadata for each physical volume. Bytes: crypto/volume/VOLUMES.md, "LVM2".
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "crypto/volume/lvm_text.h"
#include "crypto/volume/volume_source.h"

namespace cairn {

// A physical volume.
struct LvmMember {
  unsigned partition = 0;  // as VolumeFacts::partition
  ByteRange place;         // on the disk, bytes
  std::string id;          // 32 characters
  std::string text;        // the metadata of its group; empty: it has none, or they are damaged
  std::string why_not;     // then: why
};

// Nothing: it is none. Errors: those of the disk.
Result<std::optional<LvmMember>> find_lvm_member(const VolumeSource& source);

// A logical volume. `why_not` empty: `facts` has partition, within, place and segments.
struct LvmPlaced {
  VolumeFacts facts;
  std::string why_not;
};
struct LvmLayout {
  std::vector<LvmPlaced> volumes;
  std::vector<std::string> not_known;  // physical volumes whose group is not known
};

// All logical volumes of the groups that `members` (all physical volumes of a disk) describe.
LvmLayout lay_out_lvm(std::span<const LvmMember> members);

}  // namespace cairn
