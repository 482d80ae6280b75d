// SPDX-License-Identifier: GPL-3.0-or-later
// TableAreas: which parts of a disk hold its partition tables (GPT, MBR and the chain of logical partitions), found by
// following them step by step. libblkid is given these parts and nothing else, so that it needs no descriptor of the
// disk; and tables without bounds are refused here, for it allocates what a GPT asks for and follows any chain.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/base/bytes.h"
#include "config/base/result.h"
#include "crypto/volume/volume_source.h"

namespace cairn {

struct TableAreas {
  std::uint64_t sector_bytes = 512;  // that the tables count in
  bool gpt = false;                  // a GPT header's signature is at the start or at the end of the disk
  std::string refused;               // why the tables are not to be read, in words; empty: they may be
  std::vector<ByteRange> areas;      // in the disk; together at most some 20 MiB
};

// Where the master file table begins, by the boot sector of an NTFS volume: libblkid takes it for NTFS when it is
// there, and that tells a disk that is one NTFS file system from one with an MBR. Nothing: it is no such boot sector.
std::optional<ByteRange> ntfs_records(ByteView boot);

// Errors: those of the disk.
Result<TableAreas> find_table_areas(const VolumeSource& disk);

}  // namespace cairn
