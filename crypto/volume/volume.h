// SPDX-License-Identifier: GPL-3.0-or-later
// Volumes: what lies on a disk: LUKS1, LUKS2, BitLocker or nothing encrypted, on the whole disk and inside GPT/MBR
// partitions. Recognised by libblkid (partitions) and libcryptsetup (volumes).
//
// The source is never written: libcryptsetup repairs damaged headers in place, so it only ever sees a private copy of
// the header areas in a memfd. A damaged or hostile header is a fact to record, not an error. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/bytes.h"
#include "config/base/result.h"

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

// Looks at the disk open for reading at `fd` (image file, clone, memfd or block device) of `size` bytes.
// `object` names it in errors. Errors: only io_error; damage of what is read is in the facts.
Result<DiskFacts> probe_disk(int fd, std::uint64_t size, const std::string& object);

}  // namespace cairn
