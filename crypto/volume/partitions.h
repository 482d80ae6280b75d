// SPDX-License-Identifier: GPL-3.0-or-later
// Partitions: what GPT and MBR tables (logical partitions included) say, by libblkid on a private copy of the tables.
// They are bounded before libblkid sees them (crypto/volume/table_areas.h). One thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "crypto/volume/volume_source.h"

namespace cairn {

inline constexpr std::size_t kMaxPartitions = 128;  // how many are looked at

struct Partition {
  unsigned number = 0;
  ByteRange place;       // bytes; lies inside the disk
  bool cut_off = false;  // the table says that it is longer than the disk is
};

struct PartitionTable {
  std::string type;      // "gpt", "dos"; empty: none, or none that could be read
  bool refused = false;  // there is one, but it asks for more than is looked at
  std::vector<Partition> partitions;
};

// Remarks are appended for what is odd. `object` names the disk in errors. Errors: those of `disk`, io_error.
Result<PartitionTable> read_partitions(ByteSource& disk, const std::string& object, std::vector<std::string>& remarks);

// "contents of type ext4" and the like, by the superblock at the volume's start, LUKS headers apart; empty: nothing is
// recognised. libblkid sees a copy of the first 256 KiB only: on the whole of a hostile volume it may read for hours.
// Errors: those of the disk, io_error.
Result<std::string> contents_in_words(const VolumeSource& source);

}  // namespace cairn
