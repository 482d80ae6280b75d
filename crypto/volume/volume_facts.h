// SPDX-License-Identifier: GPL-3.0-or-later
// VolumeFacts, DiskFacts: what was seen on a disk when it was probed (crypto/volume/volume.h). They are kept in every
// recovery point, since unlocking a stored disk needs them later: where the headers lie, and of which kind they are.
// A damaged volume is a fact as well (`damage`), and no error. Offsets and sizes are bytes. Values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/bytes.h"

namespace cairn {

enum class VolumeType { luks1, luks2, bitlocker };
const char* to_string(VolumeType type);  // "LUKS1", "LUKS2", "BitLocker"
std::optional<VolumeType> parse_volume_type(std::string_view text);

// A key slot (LUKS) or protector (BitLocker) that is in use.
struct KeySlotFacts {
  int number = 0;  // from 0: LUKS: as cryptsetup counts; BitLocker: in the order of the metadata
  std::string
      kind;  // LUKS: "argon2id", "pbkdf2"; BitLocker: "password", "recovery-password", "startup-key", "tpm", ...
};

// One encrypted volume: a whole disk or a partition.
struct VolumeFacts {
  VolumeType type = VolumeType::luks2;
  unsigned partition = 0;  // 0: the whole disk, else the partition's number
  ByteRange place;         // in the disk, bytes
  std::string uuid;        // BitLocker: the volume's GUID
  std::string label;       // empty: none
  std::string cipher;      // "aes-xts-plain64"
  unsigned key_bits = 0;   // of the volume key
  unsigned sector_bytes = 0;
  std::uint64_t data_offset = 0;    // bytes from the volume's start
  std::vector<KeySlotFacts> slots;  // those in use
  std::vector<ByteRange> header;    // areas that unlocking needs, bytes from the volume's start, ascending
  std::string damage;               // empty: sound; else what is wrong, in words
  std::string cut_off;              // empty: all of it is there, as far as can be seen; else what is missing, in words
};

struct DiskFacts {
  std::string partition_table;       // "gpt", "dos" or empty
  std::vector<VolumeFacts> volumes;  // empty: not encrypted, as far as can be seen
  std::vector<std::string> remarks;  // what was odd: a damaged partition table, a header that cannot be read, ...
  [[nodiscard]] bool encrypted() const { return !volumes.empty(); }
};

}  // namespace cairn
