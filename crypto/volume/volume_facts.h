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

// A part of a volume that does not lie on its disk in one piece (an LVM volume of several segments, or striped).
struct VolumeSegment {
  std::uint64_t start = 0;             // in the volume, bytes; segments follow each other without a gap
  std::uint64_t size = 0;              // bytes
  std::uint64_t stripe_bytes = 0;      // so many bytes from each place of `at` in turn; 0: there is one place only
  std::vector<std::uint64_t> at = {};  // where it begins on the disk, bytes
  bool operator==(const VolumeSegment&) const = default;
};

// One encrypted volume: a whole disk, a partition, or a volume of LVM or md in one of these. `partition` and `within`
// together are its name on the disk: no two volumes of a disk have the same.
struct VolumeFacts {
  VolumeType type = VolumeType::luks2;
  unsigned partition = 0;  // 0: the whole disk, else the partition's number
  std::string within;      // "lv:VG/LV", "md:NAME", with a slash between where one lies in another; empty: neither
  ByteRange place;         // in the disk, bytes; with `segments`: where the first begins, and the volume's size
  std::vector<VolumeSegment> segments;  // empty: it lies in one piece at `place`
  std::string detached;                 // the file that holds its header; empty: the header lies in the volume itself
  std::string uuid;                     // BitLocker: the volume's GUID
  std::string label;                    // empty: none
  std::string cipher;                   // "aes-xts-plain64"
  unsigned key_bits = 0;                // of the volume key
  unsigned sector_bytes = 0;
  std::uint64_t data_offset = 0;    // bytes from the volume's start
  std::vector<KeySlotFacts> slots;  // those in use
  std::vector<ByteRange> header;    // areas that unlocking needs, bytes from the volume's start, ascending
  std::string damage;               // empty: sound; else what is wrong, in words
  std::string cut_off;              // empty: all of it is there, as far as can be seen; else what is missing, in words
};

// "partition 2", "lv:vg0/root on partition 2": the volume's name on its disk, for people; empty for the whole disk.
std::string volume_name(unsigned partition, std::string_view within);
// Whether both name the same place of their disks.
bool is_same_volume(const VolumeFacts& a, const VolumeFacts& b);

// An image of another format than raw, by its own first (or last) bytes.
struct ImageFormat {
  std::string name;    // "VMDK"
  std::string suffix;  // of such files: "vmdk"
  std::string detail;  // what its header says: "a descriptor: the disk's data lie in other files"; may be empty
  // How the format itself encrypts the disk. other: by a method that only QEMU of old knows, or nobody.
  enum class Encryption { none, luks, other };
  Encryption encryption = Encryption::none;
  bool elsewhere = false;  // a part of the disk's data lies in other files
};

// How an entry of DiskFacts::not_known begins when nothing at all was recognised there.
inline constexpr std::string_view kNothingRecognised = "nothing recognised";

// encrypted: an encrypted volume was seen. not_encrypted: something else was seen everywhere: file systems, swap, an
// empty disk. unknown: what lies on it, or on a part of it, was not recognised, or not looked into.
enum class DiskEncryption { encrypted, not_encrypted, unknown };
std::string_view to_string(DiskEncryption state);  // "encrypted", "not-encrypted", "unknown"
std::optional<DiskEncryption> parse_disk_encryption(std::string_view text);

struct DiskFacts {
  std::string partition_table = {};       // "gpt", "dos" or empty
  std::vector<VolumeFacts> volumes = {};  // the encrypted ones
  std::vector<std::string> remarks = {};  // what was odd: a damaged partition table, a header that cannot be read, ...
  std::vector<std::string> seen = {};     // what was recognised, and is not encrypted: "ext4 on partition 1"
  std::vector<std::string> not_known = {};  // what was not, or is not looked into: "zfs_member on partition 2"
  bool all_known = false;                   // all of the disk was looked at, and `not_known` is empty
  std::optional<ImageFormat> format =
      {};  // it looks like an image of another format; volumes are looked for all the same
  [[nodiscard]] bool encrypted() const { return !volumes.empty(); }
  [[nodiscard]] DiskEncryption encryption() const {
    if (encrypted()) return DiskEncryption::encrypted;
    return all_known ? DiskEncryption::not_encrypted : DiskEncryption::unknown;
  }
};

}  // namespace cairn
