// SPDX-License-Identifier: GPL-3.0-or-later
// Partitions: what GPT and MBR tables (logical partitions included) say, by libblkid on the read-only descriptor.
// Tables are bounded before libblkid sees them: it allocates what a GPT asks for and follows a chain of logical
// partitions to its end. One thread at a time per descriptor.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "crypto/volume/volume.h"
#include "crypto/volume/volume_source.h"

namespace cairn {

inline constexpr std::size_t kMaxPartitions = 128;  // how many are looked at

struct Partition {
  unsigned number = 0;
  ByteRange place;  // bytes; lies inside the disk
};

struct PartitionTable {
  std::string type;      // "gpt", "dos"; empty: none, or none that could be read
  bool refused = false;  // there is one, but it asks for more than is looked at
  std::vector<Partition> partitions;
};

// Remarks are appended for what is odd. Errors: io_error.
Result<PartitionTable> read_partitions(int fd, std::uint64_t size, const std::string& object,
                                       std::vector<std::string>& remarks);

// "contents of type ext4" and the like, by the superblock at the volume's start, LUKS headers apart; empty: nothing is
// recognised. libblkid sees a copy of the first 256 KiB only: on the whole of a hostile volume it may read for hours.
// Errors: io_error.
Result<std::string> contents_in_words(const VolumeSource& source);

}  // namespace cairn
