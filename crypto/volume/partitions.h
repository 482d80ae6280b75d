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
  std::string type;      // GPT: its GUID in small letters; MBR: "0x83"
  bool cut_off = false;  // the table says that it is longer than the disk is
};

struct PartitionTable {
  std::string type;      // "gpt", "dos"; empty: none, or none that could be read
  bool refused = false;  // there is one, but it asks for more than is looked at
  std::vector<Partition> partitions;
};

// Remarks are appended for what is odd. `object` names the disk in errors. Errors: those of `disk`, io_error.
Result<PartitionTable> read_partitions(ByteSource& disk, const std::string& object, std::vector<std::string>& remarks);

}  // namespace cairn
