// SPDX-License-Identifier: GPL-3.0-or-later
// Contents: what lies on a disk, a partition or another volume that is not encrypted as far as was seen: by libblkid on
// a private copy of the places where superblocks lie, never on the volume itself, where a hostile one could keep it
// busy for hours. What was not recognised is told by how its bytes look. One thread at a time.
#pragma once

#include <blkid/blkid.h>

#include <memory>
#include <string>

#include "config/base/result.h"
#include "crypto/volume/volume_source.h"

namespace cairn {

struct FreeBlkidProbe {
  void operator()(blkid_probe probe) const { blkid_free_probe(probe); }
};
using BlkidProbe = std::unique_ptr<blkid_struct_probe, FreeBlkidProbe>;
// Over a private copy. Null: libblkid cannot.
BlkidProbe open_blkid_probe(const HeaderCopy& copy, std::uint64_t size);

struct Contents {
  // known: a file system or swap: not encrypted. unknown: something that may hold encrypted volumes or be encrypted
  // itself (ZFS, APFS, bcache, members of RAID, ...), or more than one thing. nothing: nothing was recognised.
  enum class Kind { nothing, known, unknown };
  Kind kind = Kind::nothing;
  std::string type = {};  // libblkid's word: "ext4", "zfs_member"
};

// By the superblocks, LUKS headers apart. Reads at most 1 MiB. Errors: those of the disk, io_error.
Result<Contents> recognise_contents(const VolumeSource& source);

// "contents of type ext4" and the like; empty: nothing is recognised. Errors: as recognise_contents().
Result<std::string> contents_in_words(const VolumeSource& source);

// How the bytes of a volume look where they were sampled. Small volumes are read whole.
struct BytesLook {
  bool all_zero = false;  // wherever it was looked
  bool whole = false;     // and that was everywhere
  bool random = false;    // most of what is not zero has the entropy of ciphertext
};
// Reads at most 512 KiB. Errors: those of the disk.
Result<BytesLook> look_at_bytes(const VolumeSource& source);

}  // namespace cairn
