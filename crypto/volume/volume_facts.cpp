// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/volume/volume_facts.h"

#include "config/base/enum_words.h"

namespace cairn {

namespace {

// In points, documents and messages: scripts match on them.
constexpr EnumWords<DiskEncryption, 3> kEncryptionWords{{{DiskEncryption::encrypted, "encrypted"},
                                                         {DiskEncryption::not_encrypted, "not-encrypted"},
                                                         {DiskEncryption::unknown, "unknown"}}};

}  // namespace

const char* to_string(VolumeType type) {
  switch (type) {
    case VolumeType::luks1:
      return "LUKS1";
    case VolumeType::luks2:
      return "LUKS2";
    case VolumeType::bitlocker:
      return "BitLocker";
  }
  return "";
}

std::optional<VolumeType> parse_volume_type(std::string_view text) {
  for (const VolumeType type : {VolumeType::luks1, VolumeType::luks2, VolumeType::bitlocker})
    if (text == to_string(type)) return type;
  return std::nullopt;
}

std::string volume_name(unsigned partition, std::string_view within) {
  std::string name(within);
  if (partition != 0) name += (within.empty() ? "partition " : " on partition ") + std::to_string(partition);
  return name;
}

bool is_same_volume(const VolumeFacts& a, const VolumeFacts& b) {
  return a.partition == b.partition && a.within == b.within;
}

std::string_view to_string(DiskEncryption state) {
  return word_of(kEncryptionWords, state);
}
std::optional<DiskEncryption> parse_disk_encryption(std::string_view text) {
  return value_of_word(kEncryptionWords, text);
}

}  // namespace cairn
