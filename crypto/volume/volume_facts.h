// SPDX-License-Identifier: GPL-3.0-or-later
// VolumeFacts, DiskFacts: what was seen on a disk when it was probed (crypto/volume/volume.h). Kept in every recovery
// point, for what unlocking needs to know later. Values.
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

struct KeySlotFacts {
  int number = 0;
  std::string
      kind;  // LUKS: "argon2id", "pbkdf2"; BitLocker: "password", "recovery-password", "startup-key", "tpm", ...
};

struct VolumeFacts {
  VolumeType type = VolumeType::luks2;
  unsigned partition = 0;  // 0: the whole disk, else the partition's number
  ByteRange place;         // in the disk, bytes
  std::string uuid;
  std::string label;
  std::string cipher;  // "aes-xts-plain64"
  unsigned key_bits = 0;
  unsigned sector_bytes = 0;
  std::uint64_t data_offset = 0;    // bytes from the volume's start
  std::vector<KeySlotFacts> slots;  // those in use
  std::vector<ByteRange> header;    // areas that unlocking needs, bytes from the volume's start, ascending
  std::string damage;               // empty: sound; else what is wrong, in words
};

struct DiskFacts {
  std::string partition_table;       // "gpt", "dos" or empty
  std::vector<VolumeFacts> volumes;  // empty: not encrypted, as far as can be seen
  std::vector<std::string> remarks;  // what was odd: a damaged partition table, a header that cannot be read, ...
  [[nodiscard]] bool encrypted() const { return !volumes.empty(); }
};

}  // namespace cairn
